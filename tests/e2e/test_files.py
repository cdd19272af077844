"""Files: what inspect says of them, and models in several."""

import json
import os
import re

import harness
import models
from test_bits import prompt_ids


class Inspect(harness.EndToEndTest):
    def inspect(self, path, *arguments, code):
        done = self.coordinator("inspect", path, "--json", *arguments)
        self.assertEqual(done.code, code, done)
        return json.loads(done.text)

    def test_sound(self):
        for recipe in models.MODELS:
            with self.subTest(model=recipe):
                report = self.inspect(models.path(recipe), "--deep", code=0)
                self.assertEqual(report["verdict"], "sound")
                self.assertEqual(report["problems"], [])
                self.assertGreater(report["tensors"][0]["values"]["rms"], 0)

    def test_broken(self):
        edit = models.edit("q4_0")
        edit.data = edit.data[:-1000]
        path = edit.save(self.path("short.gguf"))
        report = self.inspect(path, code=1)
        self.assertEqual(report["problems"][0]["kind"], "extent")
        # A load says the same.
        message = re.escape(report["problems"][0]["message"])
        self.expect_error("--model", path, "-p", "x", names=[message])

    def test_unknown(self):
        path = models.edit("q4_0").set_string("general.architecture", "lhama").save(
            self.path("m.gguf"))
        self.assertEqual(self.inspect(path, code=3)["problems"][0]["kind"], "architecture")


class Shards(harness.EndToEndTest):
    COUNT = 3
    ARGUMENTS = ["--ids", prompt_ids(20), "-n", 6, "--temp", 0, "--ignore-eos"]

    def test_any_of_them_is_the_model(self):
        whole = self.expect_json("--model", models.path("q4_0"), "--workers", 2, *self.ARGUMENTS)
        shards = models.edit("q4_0").split(self.path("model"), self.COUNT)
        worker = self.start_worker("--models", os.path.dirname(shards[0]))
        for workers in (0, 2, worker.address):
            for shard in shards:
                with self.subTest(workers=workers, shard=shard):
                    answer = self.expect_json("--model", shard, "--workers", workers,
                                              *self.ARGUMENTS)
                    self.assertEqual(answer["ids"], whole["ids"])

    def test_a_worker_reads_its_own_tensors(self):
        shards = models.edit("q4_0").split(self.path("model"), self.COUNT)
        answer = self.expect_json("--model", shards[0], "--workers", 2, *self.ARGUMENTS)
        for stage in answer["plan"]:
            self.assertEqual(stage["read_bytes"], stage["weight_bytes"])

    def test_one_is_missing(self):
        shards = models.edit("q4_0").split(self.path("model"), self.COUNT)
        os.remove(shards[1])
        self.expect_error("--model", shards[2], "-p", "x", names=["part 2 of 3", "no such file"])
