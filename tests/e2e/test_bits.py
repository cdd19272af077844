"""The same bits, however the work is divided: promise 1 of the design, with real processes."""

import hashlib
import os
import unittest

import harness
import models

# Three attention blocks of 64 positions and a part of a fourth.
PROMPT_TOKENS = 200
GENERATED = 12


def prompt_ids(count=PROMPT_TOKENS):
    """Ids that are ordinary tokens in every vocabulary here, in no order."""
    return ",".join(str(10 + (i * i * 7 + i * 31) % 200) for i in range(count))


class SameBits(harness.EndToEndTest):
    """Each case compares the ids and the whole logits of every step with one process, scalar."""

    recipe = None  # of models.MODELS; the subclasses below have one each
    reference = {}

    def generate(self, *arguments):
        """(ids, digest of all logits, number of logits)"""
        logits = self.path("logits")
        answer = self.expect_json("--model", models.path(self.recipe), "--ids", prompt_ids(),
                                  "-n", GENERATED, "--temp", 0, "--ignore-eos",
                                  "--logits", logits, *arguments)
        self.assertEqual(len(answer["ids"]), GENERATED)
        with open(logits, "rb") as file:
            rows = file.read()
        return answer["ids"], hashlib.sha256(rows).hexdigest(), len(rows) // 4

    def expected(self):
        if self.recipe not in self.reference:
            self.reference[self.recipe] = self.generate("--workers", 0, "-t", 1, "--isa", "scalar")
        return self.reference[self.recipe]

    def check(self, *arguments):
        ids, digest, count = self.expected()
        self.assertEqual(count, GENERATED * models.vocabulary(self.recipe))
        self.assertGreater(len(set(ids)), 2, "a model that says one thing alone proves nothing")
        self.assertEqual(self.generate(*arguments), (ids, digest, count))

    def test_stages_in_one_process(self):
        for stages in (1, 2, 3, models.LAYERS):
            with self.subTest(stages=stages):
                self.check("--workers", 0, "--stages", stages)

    def test_worker_processes(self):
        for workers in (1, 2, 5):
            with self.subTest(workers=workers):
                self.check("--workers", workers)
                self.expect_no_orphans()

    def test_threads(self):
        for threads in (1, 2, 3):
            with self.subTest(threads=threads):
                self.check("--workers", 2, "-t", threads)

    def test_prompt_chunks(self):
        for chunk in (1, 7, 64, PROMPT_TOKENS):
            with self.subTest(chunk=chunk):
                self.check("--workers", 2, "--prompt-chunk", chunk)

    def test_instruction_sets(self):
        for isa in harness.instruction_sets():
            with self.subTest(isa=isa):
                self.check("--workers", 1, "--isa", isa)

    def test_layers_by_hand(self):
        last = models.LAYERS - 1
        for layers in (f"0-0,1-{last}", f"0-{last - 1},{last}-{last}"):
            with self.subTest(layers=layers):
                self.check("--workers", 2, "--layers", layers)


def _with_recipe(recipe):
    return type("SameBits_" + recipe, (SameBits,), {"recipe": recipe})


def load_tests(loader, _tests, _pattern):
    cases = [_with_recipe(recipe) for recipe in models.MODELS] + [OwnTensorsOnly]
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)


class OwnTensorsOnly(harness.EndToEndTest):
    """A worker reads only its own tensors: those of all others may hold anything."""

    def test_other_tensors_overwritten(self):
        whole = models.path("f32")
        half = models.LAYERS // 2
        ranges = [range(0, half), range(half, models.LAYERS)]
        addresses = []
        for stage, own in enumerate(ranges):
            edit = models.edit("f32")
            overwritten = 0
            for name in edit.tensors:
                words = name.split(".")
                mine = (int(words[1]) in own if words[0] == "blk"
                        else stage == 0 if words[0] == "token_embd" else stage == 1)
                if not mine:
                    # The edges are part of the model's identity.
                    overwritten += edit.fill(name, 0xFF, edge=models.IDENTITY_EDGE_BYTES)
            self.assertGreater(overwritten, os.path.getsize(whole) // 8)
            copy = edit.save(self.path(f"half-{stage}.gguf"))
            addresses.append(self.start_worker("--model", copy).address)
        arguments = ["--model", whole, "--ids", prompt_ids(20), "-n", 4, "--temp", 0,
                     "--ignore-eos"]
        split = self.expect_json(*arguments, "--workers", ",".join(addresses), "--layers",
                                 f"0-{half - 1},{half}-{models.LAYERS - 1}", "--logits",
                                 self.path("split"))
        alone = self.expect_json(*arguments, "--workers", 0, "--logits", self.path("alone"))
        self.assertEqual(split["ids"], alone["ids"])
        with open(self.path("split"), "rb") as one, open(self.path("alone"), "rb") as other:
            self.assertEqual(one.read(), other.read())
        for stage in split["plan"]:
            self.assertLess(stage["read_bytes"], 0.7 * os.path.getsize(whole), stage)
