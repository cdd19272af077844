"""The tiny random models of these tests: made once per run, by tools/make_model and quantize, and
by make_architecture_model."""

import atexit
import os
import subprocess
import tempfile

import harness
from gguf_edit import GgufEdit

MAKE_MODEL = os.path.join(harness.BIN, "tools", "make_model")
MAKE_ARCHITECTURE_MODEL = os.path.join(harness.BIN, "tools", "make_architecture_model")
QUANTIZE = os.path.join(harness.BIN, "tools", "quantize")

LAYERS = 6        # more than the most workers here
VOCABULARY = 320
LARGE_VOCABULARY = 50000
CONTEXT = 1024

# The file's identity covers this much of both ends of each tensor (engine/gguf/gguf_file.h).
IDENTITY_EDGE_BYTES = 4096

_COMMON = ["--layers", LAYERS, "--vocabulary", VOCABULARY, "--context", CONTEXT]
# One for each way that weights are held: floats, blocks of 32, blocks of 256, experts, and an
# output matrix so large that two local workers share it. Flags of make_model (with seeds whose
# models do not say one thing alone), and the type that the F32 file is then quantized to.
MODELS = {
    "f32": (["--width", 128, "--feed-forward", 256, "--seed", 8, *_COMMON], None),
    "q4_0": (["--width", 192, "--heads", 6, "--feed-forward", 256, "--tied", "--seed", 5,
              *_COMMON], "Q4_0"),
    "q4_k_m": (["--width", 256, "--feed-forward", 512, "--seed", 6, *_COMMON], "Q4_K_M"),
    "experts": (["--width", 64, "--feed-forward", 96, "--experts", 4, "--seed", 5, *_COMMON],
                "Q8_0"),
    "large_head": (["--width", 64, "--feed-forward", 96, "--seed", 5, "--layers", LAYERS,
                    "--vocabulary", LARGE_VOCABULARY, "--context", CONTEXT], None),
}
# Not for the cases that go over all models.
_OTHERS = {
    # 400 MB, of which a token needs a sixteenth.
    "many_experts": (["--layers", 2, "--width", 512, "--feed-forward", 1024, "--experts", 32,
                      "--vocabulary", VOCABULARY, "--context", CONTEXT], None),
    # 150 MB, far more than a worker takes without weights.
    "heavy": (["--width", 1024, "--feed-forward", 1024, "--heads", 16, *_COMMON], None),
}

_directory = None


def vocabulary(recipe):
    return LARGE_VOCABULARY if recipe == "large_head" else VOCABULARY


def _run(*words):
    command = list(map(str, words))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}")


def _file(name):
    global _directory
    if _directory is None:
        _directory = tempfile.TemporaryDirectory(prefix="baton-e2e-models-")
        atexit.register(_directory.cleanup)
    return os.path.join(_directory.name, name + ".gguf")


def path(recipe):
    """The file of a model of MODELS or _OTHERS."""
    file = _file(recipe)
    if not os.path.exists(file):
        flags, quantized = {**MODELS, **_OTHERS}[recipe]
        floats = file + ".f32" if quantized else file
        _run(MAKE_MODEL, "--type", "F32", *flags, "--out", floats)
        if quantized:
            _run(QUANTIZE, floats, file, quantized)
            os.remove(floats)
    return file


def architecture(variant):
    """The file of the tiny model of an architecture's variant."""
    file = _file(variant)
    if not os.path.exists(file):
        _run(MAKE_ARCHITECTURE_MODEL, variant, file)
    return file


def edit(recipe):
    """The same, taken apart."""
    return GgufEdit(path(recipe))
