"""What a worker takes of a machine's memory."""

import json
import os
import re
import sys
import unittest

import os
import random
import tempfile

import harness
import models
from gguf_edit import GgufEdit
from test_http import Server

# Of a worker beside its weights and its KV cache: the process, its libraries, rows under way.
OVERHEAD_BYTES = 64 << 20
# Some types take a little more in memory than in a file (engine/kernels/packed_layout.h).
PACKING = 1.05

# Runs a command without huge pages (PR_SET_THP_DISABLE), whose use is known by 2 MiB alone.
SMALL_PAGES = [sys.executable, "-c",
               "import ctypes, os, sys; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0); "
               "os.execv(sys.argv[1], sys.argv[1:])"]
EXPERTS, EXPERTS_USED = 32, 2  # of the model of many experts


def touched_bytes(pid, act):
    """Memory that a process reads or writes meanwhile, in mappings that could hold weights."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("1")
    act()
    touched, resident = 0, 0
    with open(f"/proc/{pid}/smaps") as file:
        for name, kilobytes in re.findall(r"^(Rss|Referenced): +(\d+) kB", file.read(), re.M):
            if name == "Rss":
                resident = int(kilobytes) << 10
            elif resident > 1 << 20:
                touched += int(kilobytes) << 10
    return touched


class Memory(harness.EndToEndTest):
    def test_weights_are_held_once(self):
        answer = self.expect_json("--model", models.path("heavy"), "--workers", 1, "--ids",
                                  "11,12,13", "-n", 2, "--temp", 0, "--ignore-eos")
        stage = answer["plan"][0]
        # Twice would not pass for once.
        self.assertGreater(stage["weight_bytes"], 2 * OVERHEAD_BYTES)
        self.assertEqual(stage["read_bytes"], stage["weight_bytes"])
        # No KV in this sum: a cache takes memory where it is written, here a few positions.
        self.assertLessEqual(stage["resident_bytes"],
                             PACKING * stage["weight_bytes"] + OVERHEAD_BYTES)

    @unittest.skipUnless(os.access("/proc/self/clear_refs", os.W_OK), "no /proc/PID/clear_refs")
    def test_a_token_reads_the_experts_that_it_chose_and_no_other(self):
        model = models.path("many_experts")
        found = json.loads(self.expect_ok("inspect", "--json", "--tensors", model).text)
        experts = sum(t["bytes"] for t in found["tensors"] if "_exps" in t["name"])
        dense = sum(t["bytes"] for t in found["tensors"]
                    if "_exps" not in t["name"] and t["name"] != "token_embd.weight")
        needed = dense + experts * EXPERTS_USED // EXPERTS
        self.assertLess(needed, experts / 4)
        server = Server(self, "--workers", 0, "--context", 64, model=model, launcher=SMALL_PAGES)
        server.wait_until_ready()
        server.complete(prompt=[5, 6, 7], max_tokens=2)
        touched = touched_bytes(server.process.pid,
                                lambda: server.complete(prompt=[300], max_tokens=1))
        print(f"a token reads {touched / 1e6:.1f} MB, of {needed / 1e6:.1f} MB that it needs and "
              f"{(dense + experts) / 1e6:.1f} MB of weights", file=sys.stderr)
        self.assertGreater(touched, 0.95 * needed)
        self.assertLess(touched, 1.15 * needed)


class Windows(harness.EndToEndTest):
    """Four layers with a window of 24 positions and one without, or five without."""
    CONTEXT = 16384
    WINDOW = 24
    WINDOW_LAYERS, LAYERS = 4, 5
    CHUNK = 512  # most positions of a step
    BLOCK = 32   # positions
    LAYER_BLOCK_BYTES = BLOCK * 2 * 2 * 16 * 4  # heads, K and V, elements, f32
    TOLERANCE_BYTES = 1 << 20  # of a worker's scratch for longer contexts

    def model(self, directory, window):
        path = os.path.join(directory, f"{window}.gguf")
        edit = GgufEdit(models.architecture("olmo2-window"))
        edit.set_count("olmo2.context_length", self.CONTEXT)
        return edit.set_count("olmo2.attention.sliding_window", window).save(path)

    def kv_bytes(self, positions, window_layers):
        """Of one sequence, and a block to begin the next one in."""
        blocks = positions // self.BLOCK
        window_blocks = min(blocks, (self.WINDOW + self.CHUNK) // self.BLOCK + 2)
        return self.LAYER_BLOCK_BYTES * ((self.LAYERS - window_layers) * (blocks + 1)
                                         + window_layers * (window_blocks + 1))

    def answer(self, model, window_layers, positions):
        draw = random.Random(1)
        ids = ",".join(str(draw.randrange(models.VOCABULARY)) for _ in range(positions))
        done = self.run_program(*SMALL_PAGES, harness.COORDINATOR, "--model", model, "--workers",
                                1, "--ids", ids, "-n", 1, "--temp", 0, "--ignore-eos",
                                "--cache-type", "f32", "--prompt-chunk", self.CHUNK, "--kv-memory",
                                self.kv_bytes(self.CONTEXT, window_layers), "--json")
        self.assertEqual(done.code, 0, str(done))
        return json.loads(done.text)["plan"][0]

    def check(self, model, window_layers):
        short = self.answer(model, window_layers, self.CHUNK)
        self.assertEqual(short["kv_bytes"], self.kv_bytes(self.CONTEXT, window_layers))
        long = self.answer(model, window_layers, self.CONTEXT - 1)
        measured = long["resident_bytes"] - short["resident_bytes"]
        counted = (self.kv_bytes(self.CONTEXT, window_layers)
                   - self.kv_bytes(self.CHUNK, window_layers))
        print(f"{window_layers} of {self.LAYERS} layers with a window: {self.CONTEXT} positions "
              f"take {measured / 1e6:.1f} MB, counted {counted / 1e6:.1f} MB", file=sys.stderr)
        self.assertLess(abs(measured - counted), self.TOLERANCE_BYTES)

    def test_a_window_keeps_its_own_blocks_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            self.check(self.model(directory, self.WINDOW), self.WINDOW_LAYERS)
            self.check(self.model(directory, self.CONTEXT), 0)
