"""What a person can get wrong: one sentence that names it, exit code 1, at once, nothing left."""

import socket

import harness
import models

UNKNOWN_TENSOR_TYPE = 255
# Little-endian f16 and f32 that no weight may be.
Q4_0_BLOCK_BYTES = 18  # the first two are the scale
BROKEN_BLOCK = 5
F16_INFINITY = b"\x00\x7c"
F32_NAN = b"\x00\x00\xc0\x7f"


class ModelFile(harness.EndToEndTest):
    def refused(self, path, *names, arguments=()):
        return self.expect_error("--model", path, "-p", "x", "-n", 1, *arguments, names=names)

    def test_no_file(self):
        self.refused(self.path("nowhere.gguf"), "nowhere.gguf")

    def test_a_directory(self):
        self.refused(self.directory, "directory|regular file")

    def test_not_gguf(self):
        self.refused(self.write("text.gguf", b"This is no model at all.\n" * 10), "text.gguf",
                     "gguf")

    def test_an_empty_file(self):
        self.refused(self.write("empty.gguf", b""), "empty.gguf")

    def test_truncated_header(self):
        header = models.edit("q4_0").header()
        self.refused(self.write("short.gguf", header[:len(header) // 2]), "short.gguf")

    def test_truncated_data(self):
        edit = models.edit("q4_0")
        edit.data = edit.data[:-1000]
        self.refused(edit.save(self.path("short.gguf")), "short.gguf")

    def test_unsupported_architecture(self):
        path = models.edit("q4_0").set_string("general.architecture", "lhama").save(
            self.path("m.gguf"))
        self.refused(path, "lhama", "llama")

    def test_unsupported_type(self):
        edit = models.edit("q4_0").set_tensor_type("blk.1.attn_q.weight", UNKNOWN_TENSOR_TYPE)
        path = edit.save(self.path("m.gguf"))
        self.refused(path, "blk.1.attn_q", str(UNKNOWN_TENSOR_TYPE))

    def test_unsupported_pre_tokenizer(self):
        edit = models.edit("q4_0").set_string("tokenizer.ggml.model", "gpt2")
        edit.set_string("tokenizer.ggml.pre", "lhama-bpe")
        edit.set_strings("tokenizer.ggml.merges", ["a b"])
        self.refused(edit.save(self.path("m.gguf")), "lhama-bpe")

    def test_unsupported_tokenizer(self):
        path = models.edit("q4_0").set_string("tokenizer.ggml.model", "lhama").save(
            self.path("m.gguf"))
        self.refused(path, "lhama")

    def test_a_scale_that_is_not_finite(self):
        for workers in (0, 2):
            with self.subTest(workers=workers):
                edit = models.edit("q4_0").write_into(
                    "blk.1.ffn_up.weight", BROKEN_BLOCK * Q4_0_BLOCK_BYTES, F16_INFINITY)
                path = edit.save(self.path("m.gguf"))
                self.refused(path, "blk.1.ffn_up", f"block {BROKEN_BLOCK}",
                             arguments=["--workers", workers])

    def test_a_weight_that_is_not_finite(self):
        path = models.edit("f32").write_into("blk.0.attn_norm.weight", 8, F32_NAN).save(
            self.path("m.gguf"))
        self.refused(path, "blk.0.attn_norm")


class Requests(harness.EndToEndTest):
    def refused(self, *arguments, names=()):
        return self.expect_error("--model", models.path("q4_0"), *arguments, names=names)

    def test_prompt_longer_than_the_context(self):
        ids = ",".join(["11"] * 65)
        self.refused("--ids", ids, "-c", 64, names=["65", "64"])

    def test_more_context_than_the_model_has(self):
        self.refused("-p", "x", "-n", 1, "-c", models.CONTEXT + 1,
                     names=[str(models.CONTEXT + 1), str(models.CONTEXT)])

    def test_token_id_out_of_range(self):
        self.refused("--ids", f"11,{models.VOCABULARY}", "-n", 1, names=[str(models.VOCABULARY)])

    def test_no_prompt_file(self):
        self.refused("-f", self.path("nowhere.txt"), names=["nowhere.txt"])

    def test_more_workers_than_layers(self):
        self.refused("-p", "x", "-n", 1, "--workers", models.LAYERS + 1,
                     names=[str(models.LAYERS + 1), str(models.LAYERS)])

    def test_layers_by_hand_that_leave_a_gap(self):
        self.refused("-p", "x", "-n", 1, "--workers", 2, "--layers",
                     f"0-1,3-{models.LAYERS - 1}", names=["layer"])


class Workers(harness.EndToEndTest):
    def test_unreachable(self):
        with socket.socket() as taken:
            # Bound but not listening: nobody answers, and nobody else gets the port.
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.expect_error("--model", models.path("q4_0"), "-p", "x", "--workers", address,
                              names=[address])

    def test_something_else_answers(self):
        """A peer that speaks no gRPC, or nothing at all, is told apart from a worker in time."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            self.expect_error("--model", models.path("q4_0"), "-p", "x", "--workers", address,
                              names=[address])

    def test_an_address_that_is_none(self):
        self.expect_error("--model", models.path("q4_0"), "-p", "x", "--workers", "no-port-here,",
                          code=2, names=["no-port-here|workers"])

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = self.run_program(harness.WORKER, "--listen", address, "--model",
                                    models.path("q4_0"))
            self.check_error(done, names=[address])

    def test_listening_beyond_loopback_needs_a_word(self):
        done = self.run_program(harness.WORKER, "--listen", "0.0.0.0:0", "--model",
                                models.path("q4_0"))
        self.assertIn(done.code, (1, 2), str(done))
        self.check_error(done, code=done.code, names=["--insecure"])

    def test_a_worker_without_the_file(self):
        other = models.edit("q4_0").write_into("output_norm.weight", 0, b"\0\0\0\0").save(
            self.path("other.gguf"))
        for arguments in ([], ["--model", other]):
            with self.subTest(arguments=arguments):
                worker = self.start_worker(*arguments)
                done = self.coordinator("--model", models.path("q4_0"), "-p", "x", "-n", 1,
                                        "--workers", worker.address)
                self.check_error(done, names=[worker.address, "file|model"])
                worker.kill()
                worker.finish()
