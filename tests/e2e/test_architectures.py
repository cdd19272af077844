"""Every architecture through coordinator and workers: the reference's tokens, process by process.

//tests:architectures_test compares logits and bits within one process. Here the same models and
goldens pass the plan, the scheduler, its blocks of every cache group, and the wire.
"""

import glob
import json
import os
import subprocess

import harness

GOLDENS = os.path.join(harness.ROOT, "tests", "architectures")
MAKER = os.path.join(harness.BIN, "tools", "make_architecture_model")
EXACT = ["--activations", "f32", "--cache-type", "f32"]
# A prompt in several steps, each of which goes beyond the models' windows.
PROMPT_CHUNK = 48


class Architectures(harness.EndToEndTest):
    def check(self, variant):
        with open(os.path.join(GOLDENS, variant + ".json")) as file:
            longest = json.load(file)["cases"][-1]
        model = self.path(variant + ".gguf")
        subprocess.run([MAKER, variant, model, "--dequantized"], check=True)
        answer = self.expect_json("--model", model, "--workers", 2, "--prompt-chunk", PROMPT_CHUNK,
                                  *EXACT, "--ids", ",".join(map(str, longest["prompt"])), "-n",
                                  len(longest["tokens"]), "--temp", 0, "--ignore-eos")
        self.assertEqual(answer["ids"], longest["tokens"])
        self.expect_no_orphans()


def _add_case(variant):
    def case(self):
        self.check(variant)
    setattr(Architectures, "test_" + variant.replace("-", "_"), case)


for _file in sorted(glob.glob(os.path.join(GOLDENS, "*.json"))):
    _add_case(os.path.splitext(os.path.basename(_file))[0])
