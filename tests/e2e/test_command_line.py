"""What people type and what scripts read: outputs, subcommands, exit codes."""

import json
import os
import re

import harness
import models


class Completion(harness.EndToEndTest):
    def greedy(self, *arguments):
        return ["--model", models.path("q4_0"), "--temp", 0, "-n", 6, "--ignore-eos", *arguments]

    def test_text_is_all_of_stdout(self):
        answer = self.expect_json(*self.greedy("-p", "hello"))
        plain = self.expect_ok(*self.greedy("-p", "hello"))
        self.assertEqual(plain.text.rstrip("\n"), answer["text"].rstrip("\n"))

    def test_drafts_and_memory_for_keys_and_values_change_nothing(self):
        expected = self.expect_json(*self.greedy("-p", "hello", "-n", 60))["ids"]
        for mode in ("off", "on", "auto"):
            answer = self.expect_json(*self.greedy("-p", "hello", "-n", 60, "--workers", 2,
                                                   "--speculation", mode, "--kv-memory", "4M"))
            self.assertEqual(answer["ids"], expected, mode)

    def test_too_little_memory_for_keys_and_values(self):
        self.expect_error(*self.greedy("-p", "hello", "-c", 1000, "--kv-memory", "1K"),
                          names=["--kv-memory", "1000", "--context"])

    def test_json_shape(self):
        answer = self.expect_json(*self.greedy("--ids", "11,12,13", "--workers", 2,
                                               "--logprobs", 3))
        self.assertEqual(answer["prompt_ids"], [11, 12, 13])
        self.assertEqual(len(answer["ids"]), 6)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertIsInstance(answer["model"], str)
        self.assertIsInstance(answer["text"], str)
        self.assertEqual(len(answer["logprobs"]), 6)
        for step, chosen in zip(answer["logprobs"], answer["ids"]):
            self.assertEqual(step["id"], chosen)
            self.assertEqual(len(step["top"]), 3)
            self.assertEqual(step["top"][0][0], chosen, "greedy takes the likeliest")
            self.assertAlmostEqual(step["top"][0][1], step["logprob"], places=6)
            self.assertLessEqual(step["logprob"], 0)
        self.check_plan(answer["plan"], 2)
        for stage in answer["plan"]:
            self.assertGreater(stage["resident_bytes"], 0)
            self.assertGreater(stage["read_bytes"], 0)
        for key in ("load_ms", "prompt_tokens", "prompt_ms", "generated_tokens", "generated_ms",
                    "first_token_ms"):
            self.assertGreaterEqual(answer["timings"][key], 0, key)
        self.assertEqual(answer["timings"]["prompt_tokens"], 3)
        self.assertEqual(answer["timings"]["generated_tokens"], 6)

    def check_plan(self, plan, stages):
        self.assertEqual([stage["stage"] for stage in plan], list(range(stages)))
        self.assertEqual(plan[0]["first_layer"], 0)
        self.assertEqual(plan[-1]["last_layer"], models.LAYERS - 1)
        for one, following in zip(plan, plan[1:]):
            self.assertEqual(following["first_layer"], one["last_layer"] + 1)
        self.assertEqual([stage["embedding"] for stage in plan], [True] + [False] * (stages - 1))
        self.assertEqual([stage["head"] for stage in plan], [False] * (stages - 1) + [True])
        for stage in plan:
            self.assertGreater(stage["weight_bytes"], 0)

    def test_plan_only(self):
        arguments = ["--model", models.path("q4_0"), "--workers", 3, "--plan-only"]
        answer = self.expect_json(*arguments)
        self.check_plan(answer["plan"], 3)
        self.expect_ok(*arguments)
        self.expect_no_orphans()

    def test_spellings_of_flags(self):
        model = models.path("q4_0")
        spellings = [
            ["--model", model, "--ids", "11,12", "--max-tokens", "4", "--temp", "0",
             "--ignore-eos", "--cache-type", "f32"],
            [f"--model={model}", "--ids=11,12", "--max_tokens=4", "--temp=0", "--ignore_eos",
             "--cache_type=f32"],
            ["-m", model, "--ids", "11,12", "-n", "4", "--temp", "0", "--ignore-eos",
             "-ctk", "f32", "-ctv", "f32"],
        ]
        answers = [self.expect_json(*spelling)["ids"] for spelling in spellings]
        self.assertEqual(answers[1:], [answers[0]] * 2)

    def test_paths_are_taken_from_where_the_person_stands(self):
        model = models.path("q4_0")
        os.symlink(model, self.path("here.gguf"))
        env = {**self.environment(), "BUILD_WORKING_DIRECTORY": self.directory}
        done = harness.Running([harness.COORDINATOR, "-m", "here.gguf", "--ids", "11", "-n", "1"],
                               env).finish()
        self.assertEqual(done.code, 0, str(done))

    def test_prompt_from_a_file_is_its_bytes(self):
        file = self.write("prompt.txt", b"two words\n")
        from_file = self.expect_json(*self.greedy("-f", file))
        from_text = self.expect_json(*self.greedy("-p", "two words\n"))
        self.assertEqual(from_file["prompt_ids"], from_text["prompt_ids"])
        self.assertEqual(from_file["ids"], from_text["ids"])

    def test_a_seed_gives_the_same_tokens_on_any_number_of_workers(self):
        arguments = ["--model", models.path("q4_0"), "--ids", "11,12,13", "-n", 24,
                     "--ignore-eos", "--temp", 1.5, "--top-k", 0, "--top-p", 1, "--min-p", 0]
        seeded = [self.expect_json(*arguments, "--seed", 7, "--workers", workers)["ids"]
                  for workers in (0, 1, 3)]
        self.assertEqual(seeded[1:], [seeded[0]] * 2)
        other = self.expect_json(*arguments, "--seed", 8)["ids"]
        self.assertNotEqual(other, seeded[0])

    def test_help(self):
        done = self.expect_ok("--help")
        for flag in ("--model", "--workers", "--prompt", "--temp", "--json"):
            self.assertIn(flag, done.text)
        worker = self.run_program(harness.WORKER, "--help")
        self.assertEqual(worker.code, 0, str(worker))
        self.assertIn("--listen", worker.text)

    def test_wrong_usage(self):
        model = models.path("q4_0")
        for arguments, name in [
            ((), "model"),
            (("--model", model, "--no-such-flag"), "no-such-flag"),
            (("--model", model, "-p", "x", "-n", "many"), "many|max-tokens|-n"),
            (("--model", model, "-p", "x", "--isa", "mmx"), "isa|mmx"),
            (("--model", model, "-p", "x", "--cache-type", "f8"), "cache-type|f8"),
            (("--model", model, "-p", "x", "--workers", "-1"), "workers"),
        ]:
            with self.subTest(arguments=arguments):
                self.expect_usage_error(*arguments, names=[name])


class Tokenize(harness.EndToEndTest):
    def ids(self, *arguments):
        done = self.expect_ok("tokenize", "--model", models.path("q4_0"), *arguments)
        return json.loads(done.stdout)

    def test_one_json_list(self):
        ids = self.ids("-p", "hello world")
        self.assertGreater(len(ids), 0)
        self.assertTrue(all(isinstance(id, int) for id in ids))

    def test_an_empty_text_gives_no_ids(self):
        self.assertEqual(self.ids("-p", ""), [])

    def test_without_bos(self):
        with_bos, without = self.ids("-p", "hello"), self.ids("-p", "hello", "--no-bos")
        self.assertEqual(with_bos[-len(without):], without)

    def test_the_prompt_is_tokenized_the_same_way(self):
        answer = self.expect_json("--model", models.path("q4_0"), "-p", "hello", "-n", 1)
        self.assertEqual(answer["prompt_ids"], self.ids("-p", "hello"))


class Perplexity(harness.EndToEndTest):
    LINE = r"perplexity ([0-9.]+) \+/- ([0-9.]+) over ([0-9]+) tokens\n"

    def test_same_on_any_number_of_workers(self):
        text = self.write("text", b"the quick brown fox jumps over the lazy dog. " * 40)
        arguments = ["perplexity", "--model", models.path("q4_0"), "-f", text, "-c", 64]
        plain = self.expect_ok(*arguments)
        self.assertRegex(plain.text, "^" + self.LINE + "$")
        one = self.expect_json(*arguments, "--workers", 0)
        two = self.expect_json(*arguments, "--workers", 2)
        self.assertEqual(one, two)
        self.assertGreater(one["perplexity"], 1)
        self.assertGreater(one["error"], 0)
        # Of a window of 64, positions 33 to 63 are scored.
        self.assertEqual(one["tokens"] % 31, 0)
        self.assertEqual(int(re.fullmatch(self.LINE, plain.text).group(3)), one["tokens"])
        self.expect_no_orphans()

    def test_too_short_a_text(self):
        text = self.write("text", b"few words")
        self.expect_error("perplexity", "--model", models.path("q4_0"), "-f", text, "-c", 512,
                          names=["512"])


class Bench(harness.EndToEndTest):
    TESTS = ["-p", 32, "-n", 4, "-r", 2]

    def bench(self, *arguments):
        done = self.expect_ok("bench", "--model", models.path("q4_0"), *self.TESTS, "-o", "json",
                              *arguments)
        return json.loads(done.stdout)

    def check(self, test, workers, threads):
        self.assertEqual(test["n_workers"], workers)
        self.assertEqual(test["n_threads"], threads)
        self.assertEqual(len(test["samples_ts"]), 2)
        self.assertGreater(test["avg_ts"], 0)
        self.assertGreaterEqual(test["stddev_ts"], 0)
        self.assertIn(test["limit"], ("int8", "f32", "bandwidth"))
        self.assertGreater(test["limit_value"], 0)
        self.assertGreater(test["limit_share"], 0)

    def test_fields_over_any_workers(self):
        isa = ["--isa", harness.instruction_sets()[-1]]
        if isa[1] == "scalar":
            self.skipTest("plain C++ has no peak to compare a prompt with")
        for workers in (0, 1, 2):
            prompt, generation = self.bench("--workers", workers, "-t", 1, *isa)
            self.check(prompt, workers, 1)
            self.check(generation, workers, 1)
            self.assertEqual((prompt["n_prompt"], prompt["n_gen"]), (32, 0))
            self.assertEqual((generation["n_prompt"], generation["n_gen"]), (0, 4))
        self.expect_no_orphans()

    def test_batches_depths_and_threads(self):
        tests = self.bench("--workers", 0, "-b", "1,4", "-d", "0,64", "-t", "1,2")
        self.assertEqual(len(tests), 16)
        self.assertEqual({(t["n_batch_seqs"], t["n_depth"], t["n_threads"]) for t in tests},
                         {(b, d, t) for b in (1, 4) for d in (0, 64) for t in (1, 2)})

    def test_workers_elsewhere_have_no_limits(self):
        worker = self.start_worker("--model", models.path("q4_0"))
        for test in self.bench("--workers", worker.address):
            self.assertNotIn("limit", test)
            self.assertNotIn("n_threads", test)
            self.assertGreater(test["avg_ts"], 0)

    def test_clients_at_once(self):
        streams, tokens = 32, 40
        trace = self.path("trace")
        test, = self.bench("--workers", 2, "-t", 1, "--concurrency", streams, "-p", 1, "-n", tokens,
                           "-r", 1, "--speculation", "off", "--trace", trace)
        self.assertEqual((test["n_concurrency"], test["n_gen"]), (streams, tokens))
        self.assertGreater(test["avg_ts"], 0)
        self.assertEqual(len(test["stages"]), 2)
        with open(trace) as file:
            steps = [event["args"] for event in json.load(file)["traceEvents"]
                     if event["ph"] == "b"]
        # None waits until another one has ended, for want of KV blocks.
        answered = 0
        for step in steps:
            if step["prompt_rows"] > 0:
                self.assertLess(answered, streams * tokens / 2)
            answered += step["decode_rows"]
        self.assertEqual(answered, streams * (tokens - 1))

    def test_table(self):
        done = self.expect_ok("bench", "--model", models.path("q4_0"), *self.TESTS)
        lines = done.text.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(len({len(line) for line in lines}), 1, done.text)
        self.assertIn("pp32", lines[2])
        self.assertIn("tg4", lines[3])

    def test_errors(self):
        model = models.path("q4_0")
        self.expect_error("bench", "--model", model, "-p", models.CONTEXT + 1, names=["context"])
        self.expect_error("bench", "--model", self.path("none.gguf"), names=["none.gguf"])
        self.expect_usage_error("bench", "--model", model, "-n", "x", names=["-n"])
        self.expect_usage_error("bench", "--model", model, "-r", "0", names=["repetitions"])
