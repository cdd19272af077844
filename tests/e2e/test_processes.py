"""Workers as processes: started, dialled, killed."""

import itertools
import os
import pty
import signal

import harness
import models
from test_bits import prompt_ids

LONG = 400  # tokens, so that a generation is still on when a signal comes


class Remote(harness.EndToEndTest):
    ARGUMENTS = ["--ids", prompt_ids(20), "-n", 6, "--temp", 0, "--ignore-eos"]

    def test_workers_elsewhere_give_the_same_ids(self):
        model = models.path("q4_0")
        workers = [self.start_worker("--model", model) for _ in range(2)]
        addresses = ",".join(worker.address for worker in workers)
        local = self.expect_json("--model", model, "--workers", 2, *self.ARGUMENTS)
        # Twice: a worker serves one coordinator after the other.
        for _ in range(2):
            remote = self.expect_json("--model", model, "--workers", addresses, *self.ARGUMENTS)
            self.assertEqual(remote["ids"], local["ids"])
        self.assertEqual(len(self.workers()), 2)

    def test_a_worker_finds_the_file_among_many(self):
        folder = self.path("models")
        os.mkdir(folder)
        for recipe in ("q4_0", "f32"):
            os.symlink(models.path(recipe), os.path.join(folder, recipe + ".gguf"))
        worker = self.start_worker("--models", folder)
        answer = self.expect_json("--model", models.path("f32"), "--workers", worker.address,
                                  *self.ARGUMENTS)
        self.assertEqual(len(answer["ids"]), 6)

    def test_a_unix_socket(self):
        address = "unix:" + self.path("socket")
        worker = self.start_worker("--model", models.path("q4_0"), listen=address)
        self.assertEqual(worker.address, address)
        self.expect_json("--model", models.path("q4_0"), "--workers", address, *self.ARGUMENTS)

    def test_a_worker_ends_on_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                worker = self.start_worker("--model", models.path("q4_0"))
                worker.kill(number)
                done = worker.finish()
                self.assertNotIn("CHECK failed", done.stderr)
                self.expect_no_orphans()


class SharedHead(harness.EndToEndTest):
    def shared_logits(self, *arguments):
        answer = self.expect_json("--model", models.path("large_head"), "--ids", "11", "-n", 1,
                                  *arguments)
        return [stage["shared_logits"] for stage in answer["plan"]]

    def test_on_one_machine_alone(self):
        first, second, third = self.shared_logits("--workers", 3)
        self.assertEqual(first, 0)
        self.assertEqual(second, third)
        self.assertGreater(third, models.LARGE_VOCABULARY / 4)
        self.assertLess(third, models.LARGE_VOCABULARY / 2)
        self.assertEqual(self.shared_logits("--workers", 0, "--stages", 2), [0, 0])
        workers = [self.start_worker("--model", models.path("large_head")) for _ in range(2)]
        addresses = ",".join(worker.address for worker in workers)
        self.assertEqual(self.shared_logits("--workers", addresses), [0, 0])


class Death(harness.EndToEndTest):
    def start_generation(self, *arguments, model="f32"):
        """A coordinator that is in the middle of an answer."""
        running = self.start(harness.COORDINATOR, "--model", models.path(model), "--ids", "11,12",
                             "-n", LONG, "--temp", 0, "--ignore-eos", *arguments)
        running.wait_for_output()
        return running

    def test_coordinator_killed(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                running = self.start_generation("--workers", 2)
                running.kill(signal.SIGSTOP)  # in the middle, however fast the model is
                self.assertEqual(len(self.workers()), 2)
                running.kill(number)
                running.kill(signal.SIGCONT)
                self.expect_no_orphans()
                running.finish()

    def test_local_worker_killed(self):
        for index, model in itertools.product((0, 1), ("f32", "large_head")):
            with self.subTest(worker=index, model=model):
                running = self.start_generation("--workers", 2, model=model)
                running.kill(signal.SIGSTOP)
                os.kill(self.workers()[index], signal.SIGKILL)
                killed = harness.time.monotonic()
                running.kill(signal.SIGCONT)
                done = running.finish()
                self.assertLessEqual(harness.time.monotonic() - killed, harness.ERROR_S)
                self.check_error(done, names=["worker"], within=None)
                self.expect_no_orphans()

    def test_remote_worker_killed(self):
        workers = [self.start_worker("--model", models.path("f32")) for _ in range(2)]
        running = self.start_generation("--workers",
                                        ",".join(worker.address for worker in workers))
        running.kill(signal.SIGSTOP)
        workers[1].kill()
        killed = harness.time.monotonic()
        running.kill(signal.SIGCONT)
        done = running.finish()
        self.assertLessEqual(harness.time.monotonic() - killed, harness.ERROR_S)
        self.check_error(done, names=[workers[1].address], within=None)
        # The other one is not this coordinator's to stop, and serves the next.
        self.assertEqual(self.workers(), [workers[0].pid])
        self.expect_json("--model", models.path("f32"), "--workers", workers[0].address, "--ids",
                         "11", "-n", 1)


class Conversation(harness.EndToEndTest):
    def test_ctrl_c_ends_an_answer_and_not_the_conversation(self):
        ours, theirs = pty.openpty()
        running = self.start(harness.COORDINATOR, "--model", models.path("f32"), "--workers", 2,
                             "--chat", "--chat-template", "chatml", "-n", LONG, "--temp", 0,
                             "--ignore-eos", stdin=theirs)
        os.write(ours, b"hello\n")
        running.wait_for_output()
        running.kill(signal.SIGSTOP)  # in the middle, however fast the model is
        running.kill(signal.SIGINT)
        running.kill(signal.SIGCONT)
        os.write(ours, b"again\n\x04")
        done = running.finish()
        os.close(ours)
        os.close(theirs)
        self.assertEqual(done.code, 0, done)
        # The answer to the second question is whole.
        self.assertGreater(len(done.stdout), LONG, done)
        self.expect_no_orphans()
