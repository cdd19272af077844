"""Fuzz targets: one source, run by libFuzzer and as an ordinary test."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, deps, tags = []):
    """NAME_fuzz.cc, and the findings in findings/NAME.

    Makes NAME_replay_test, and NAME_fuzz for --config=fuzz (tools/fuzz).
    """
    cc_library(
        name = name,
        testonly = True,
        srcs = [name + "_fuzz.cc"],
        deps = deps + [
            ":fuzz_target",
            "//engine/base:check",
        ],
        # Its caller comes from a library that is linked later.
        alwayslink = True,
    )
    findings = native.glob(["findings/%s/*" % name])
    cc_test(
        name = name + "_replay_test",
        size = "small",
        srcs = ["replay_main.cc"],
        args = ["$(location %s)" % finding for finding in findings],
        data = findings,
        tags = tags,
        deps = [
            ":" + name,
            ":fuzz_target",
        ],
    )
    cc_binary(
        name = name + "_fuzz",
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":" + name],
    )
