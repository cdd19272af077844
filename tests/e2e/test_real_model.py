"""The real model, where deploy/fetch-model has fetched it: right answers, the same on all paths."""

import hashlib
import os
import subprocess
import unittest

import harness

# Greedy continuations of SmolLM2-135M-Instruct Q4_1 by llama.cpp with the weights dequantized to
# F32 first and an f32 KV cache; they go on past the end token (2).
GOLDENS = [
    (
        "The capital of France is",
        [7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33, 29, 34, 34,
         216, 33, 34, 42, 33, 34, 42, 37, 35, 30, 2, 198, 1, 520, 9531, 198, 504, 2988, 314, 42,
         216, 34, 32, 33, 40, 29, 32, 33, 29]),
    (
        "<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n"
        "What is gravity?<|im_end|>\n"
        "<|im_start|>assistant\n",
        [22007, 6463, 314, 253, 4959, 1909, 281, 6944, 338, 6601, 260, 26589, 282, 42548, 2952,
         411, 260, 4313, 282, 2389, 30, 657, 506, 253, 4959, 2325, 282, 260, 6128, 338, 48165,
         260, 2555, 282, 3401, 335, 2591, 30, 533, 9615, 28, 9354, 314, 260, 3075, 338, 8211,
         3401]),
    (
        "def fibonacci(n):\n",
        [198, 1604, 3987, 46477, 24, 94, 727, 472, 585, 304, 10204, 216, 33, 42, 448, 1003, 304,
         472, 1745, 42, 448, 1003, 3987, 46477, 24, 94, 731, 216, 33, 25, 1232, 3987, 46477, 24,
         94, 731, 216, 34, 25, 198, 198, 3272, 24, 38572, 46477, 24, 33, 32]),
    (
        "Once upon a time, in a village by the sea,",
        [665, 436, 253, 4197, 3365, 3261, 3906, 4075, 30, 2306, 436, 253, 915, 284, 3506, 14653,
         28, 617, 10832, 874, 10054, 351, 2606, 284, 11347, 30, 2306, 761, 253, 3953, 7388, 3365,
         330, 5484, 28, 617, 436, 253, 12833, 284, 12833, 22873, 30, 198, 198, 2705, 1194, 28]),
    (
        "<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n"
        "My name is Ada. What is 2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n"
        "2 + 2 = 4.<|im_end|>\n"
        "<|im_start|>user\n"
        "Thank you! What is my name?<|im_end|>\n"
        "<|im_start|>assistant\n",
        [57, 5248, 18948, 346, 2316, 1535, 30, 339, 5248, 253, 5356, 5646, 3365, 3511, 308,
         34519, 28, 284, 339, 5248, 1535, 288, 4237, 346, 351, 750, 2029, 355, 724, 346, 351,
         469, 4833, 2385, 18683, 30, 2, 198, 1, 4093, 198, 57, 5248, 253, 6535, 30, 339, 5248]),
]
EXACT = ["--activations", "f32", "--cache-type", "f32"]

PERPLEXITY_TEXT = "/usr/share/common-licenses/GPL-3"
# llama.cpp's own with int8 activations is 18.39, with exact ones 18.299.
INT8_PERPLEXITY = 18.45


def fetched_model():
    """The model's path, or None."""
    done = subprocess.run([os.path.join(harness.ROOT, "deploy", "fetch-model"), "--offline"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


MODEL = fetched_model()


@unittest.skipUnless(MODEL, "deploy/fetch-model fetches the real model")
class RealModel(harness.EndToEndTest):
    case_seconds = 180

    def greedy(self, prompt, *arguments):
        return self.expect_json("--model", MODEL, "-p", prompt, "-n", 48, "--temp", 0,
                                "--ignore-eos", *arguments)

    def test_every_token_of_the_reference(self):
        for prompt, ids in GOLDENS:
            with self.subTest(prompt=prompt[-40:]):
                self.assertEqual(self.greedy(prompt, "--workers", 2, *EXACT)["ids"], ids)

    def test_same_bits_on_any_number_of_workers(self):
        prompt, _ = GOLDENS[1]
        outcomes = []
        for arguments in (["--workers", 0, "-t", 1], ["--workers", 2],
                          ["--workers", 5, "--prompt-chunk", 7], ["--workers", 0, "--stages", 30]):
            logits = self.path("logits")
            ids = self.greedy(prompt, "--logits", logits, *arguments)["ids"]
            with open(logits, "rb") as file:
                outcomes.append((ids, hashlib.sha256(file.read()).hexdigest()))
        self.assertEqual(outcomes[1:], outcomes[:1] * 3)

    def test_a_worker_holds_its_share(self):
        size = os.path.getsize(MODEL)
        answer = self.greedy("Hello", "--workers", 2)
        for stage in answer["plan"]:
            self.assertLess(stage["read_bytes"], 0.75 * size, stage)
            self.assertGreaterEqual(stage["read_bytes"], stage["weight_bytes"], stage)

    def test_it_answers_a_question(self):
        done = self.expect_ok("--model", MODEL, "--chat", "--workers", 2, "--temp", 0, "-n", 48,
                              "-p", "What is gravity?")
        self.assertTrue(done.text.startswith("Gravity is a fundamental"), done.text)
        self.assertNotIn("<|im_", done.text)

    @unittest.skipUnless(os.path.exists(PERPLEXITY_TEXT), "Debian's license texts are not here")
    def test_perplexity(self):
        answer = self.expect_json("perplexity", "--model", MODEL, "-f", PERPLEXITY_TEXT, "-c", 512,
                                  "--workers", 2)
        self.assertLess(answer["perplexity"], INT8_PERPLEXITY)
        self.assertGreater(answer["perplexity"], 18)
