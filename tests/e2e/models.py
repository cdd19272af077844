"""The tiny random models of these tests: made once per run, by tools/make_model."""

import atexit
import os
import subprocess
import tempfile

import harness
from gguf_edit import GgufEdit

MAKE_MODEL = os.path.join(harness.BIN, "tools", "make_model")

LAYERS = 6        # more than the most workers here
VOCABULARY = 320
CONTEXT = 1024

# The file's identity covers this much of both ends of each tensor (engine/gguf/gguf_file.h).
IDENTITY_EDGE_BYTES = 4096

_COMMON = ["--layers", LAYERS, "--vocabulary", VOCABULARY, "--context", CONTEXT]
# One for each way that weights are held: floats, blocks of 32, blocks of 256, experts.
MODELS = {
    "f32": ["--type", "F32", "--width", 128, "--feed-forward", 256, "--seed", 4, *_COMMON],
    "q4_0": ["--type", "Q4_0", "--width", 192, "--heads", 6, "--feed-forward", 256, "--tied",
             *_COMMON],
    "q6_k": ["--type", "Q6_K", "--width", 256, "--feed-forward", 512, *_COMMON],
    "experts": ["--type", "Q8_0", "--width", 64, "--feed-forward", 96, "--experts", 4, *_COMMON],
}

_directory = None


def path(recipe):
    """The file of a model of MODELS."""
    global _directory
    if _directory is None:
        _directory = tempfile.TemporaryDirectory(prefix="baton-e2e-models-")
        atexit.register(_directory.cleanup)
    file = os.path.join(_directory.name, recipe + ".gguf")
    if not os.path.exists(file):
        command = [MAKE_MODEL, *map(str, MODELS[recipe]), "--out", file]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}")
    return file


def edit(recipe):
    """The same, taken apart."""
    return GgufEdit(path(recipe))
