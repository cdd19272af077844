"""What a worker takes of a machine's memory."""

import harness
import models

# Of a worker beside its weights and its KV cache: the process, its libraries, rows under way.
OVERHEAD_BYTES = 64 << 20
# Some types take a little more in memory than in a file (engine/kernels/packed_layout.h).
PACKING = 1.05


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
