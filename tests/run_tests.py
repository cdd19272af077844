#!/usr/bin/env python3
"""Builds and tests everything, and counts single test cases: the last line is "N passed, N failed".

tests/run calls this once the packages are there. A target that does not build, crashes or runs out
of time counts as one failed case, so that no way of breaking a test lowers the count silently.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What reads bytes that others wrote; with --sanitize these run once more, instrumented.
PARSERS = [
    "//engine/base/...",
    "//engine/quant/...",
    "//engine/gguf/...",
    "//engine/tokenizer/...",
    "//engine/chat/...",
    "//engine/sampling/...",
    "//proto/...",
    "//coordinator/http/...",
]
# What shows the NEON kernels' bits: run once more, cross-compiled, in QEMU.
NEON_TESTS = ["//engine/kernels:kernels_test", "//tests:equivalence_test"]
# A CI job has 40 minutes: the sanitizers take what the tests leave of this many seconds.
TIME_BUDGET_S = 36 * 60
# Less than this is not worth starting a sanitizer build for.
LEAST_SANITIZER_S = 4 * 60

BAZEL_BUILD_FAILED = 1
BAZEL_TESTS_FAILED = 3


class Tally:
    """Passed and failed cases so far."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skipped = []

    def fail(self, name, reason):
        self.failures.append(f"{name}: {reason}")
        print(f"FAILED {name}: {reason}", flush=True)


def bazel(*arguments, **kwargs):
    return subprocess.run(["bazel", *arguments], cwd=ROOT, text=True, **kwargs)


def test_labels(patterns):
    """The tests that `bazel test` would run, or None where the BUILD files are broken."""
    universe = " + ".join(patterns)
    query = bazel("query", "--noshow_progress", "--ui_event_filters=-info",
                  f'tests({universe}) except attr(tags, "\\bmanual\\b", {universe})',
                  stdout=subprocess.PIPE)
    return query.stdout.split() if query.returncode == 0 else None


def existing(patterns):
    """Those of the patterns whose package exists."""
    return [p for p in patterns
            if os.path.isdir(os.path.join(ROOT, p.strip("/").replace("...", "")))]


def count_xml(tally, label, path):
    """Adds the cases of one test.xml; returns whether any failed."""
    failed = False
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{label} {case.get('classname', '')}.{case.get('name', '')}"
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        if problem is not None:
            tally.fail(name, (problem.get("message") or "failed").splitlines()[0])
            failed = True
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            tally.skipped.append(name)
        elif case.get("status") != "notrun":
            tally.passed += 1
    return failed


def count_results(tally, labels, events):
    """Counts the cases of `labels` from Bazel's build events."""
    seen = set()
    for event in events:
        if "testResult" not in event:
            continue
        label = event["id"]["testResult"]["label"]
        result = event["testResult"]
        seen.add(label)
        failed = False
        for output in result.get("testActionOutput", []):
            if output["name"] == "test.xml":
                path = urllib.request.url2pathname(urllib.parse.urlparse(output["uri"]).path)
                failed |= count_xml(tally, label, path)
        if result["status"] != "PASSED" and not failed:
            tally.fail(label, f"ended as {result['status']}")
    for label in labels:
        if label not in seen:
            tally.fail(label, "did not build")


def run_bazel(tally, patterns, options, timeout_s=None):
    """Builds `patterns`, runs their tests and counts them. False when it ran out of time."""
    labels = test_labels(patterns)
    if labels is None:
        tally.fail(" ".join(patterns), "the BUILD files are broken")
        return True
    with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as events_file:
        # SIGINT lets Bazel end its actions; it leaves no half-written outputs.
        command = ["timeout", "--foreground", "--signal=INT", str(timeout_s or 0),
                   "bazel", "test", "--keep_going", "--noshow_progress", "--test_output=errors",
                   "--test_summary=terse", f"--build_event_json_file={events_file.name}",
                   *options, *patterns]
        code = subprocess.run(command, cwd=ROOT).returncode
        if code == 124:
            return False
        before = len(tally.failures)
        count_results(tally, labels, [json.loads(line) for line in events_file])
        if code not in (0, BAZEL_TESTS_FAILED) and len(tally.failures) == before:
            what = "something does not build" if code == BAZEL_BUILD_FAILED else f"exit code {code}"
            tally.fail("bazel test " + " ".join(options + patterns), what)
    return True


def run_script(tally, name, command):
    """A check that passes or fails as a whole."""
    if subprocess.run(command, cwd=ROOT).returncode == 0:
        tally.passed += 1
    else:
        tally.fail(name, "its messages stand above")


def run_neon(tally):
    if platform.machine() != "x86_64":
        return  # 64-bit ARM ran them among the unit tests
    # The libraries come from Debian's archive: without a network there is nothing to link with.
    fetch = bazel("build", "--noshow_progress", "--config=aarch64", "@aarch64//:files")
    if fetch.returncode != 0:
        tally.skipped.append("NEON kernels in QEMU: see above")
        return
    run_bazel(tally, NEON_TESTS, ["--config=aarch64"])


def run_end_to_end(tally):
    targets = ["//coordinator", "//worker", "//tools:make_model", "//tools:quantize"]
    if bazel("build", "--noshow_progress", "--ui_event_filters=-info", *targets).returncode != 0:
        tally.fail("end-to-end tests", "their programs do not build")
        return
    with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as results_file:
        subprocess.run([sys.executable, "tests/e2e/run.py", "--results", results_file.name],
                       cwd=ROOT)
        try:
            results = json.load(results_file)
        except ValueError:
            tally.fail("end-to-end tests", "the runner ended without results")
            return
    tally.passed += results["passed"]
    tally.failures += results["failures"]
    tally.skipped += results["skipped"]


def run_sanitizers(tally, started):
    left = TIME_BUDGET_S - (time.monotonic() - started)
    if left < LEAST_SANITIZER_S:
        print("sanitizers: no time left for them", flush=True)
        return
    print("== the parsers under address and undefined-behaviour sanitizers", flush=True)
    options = ["--config=asan", "--config=ubsan", "--build_tests_only"]
    if not run_bazel(tally, existing(PARSERS), options, timeout_s=int(left)):
        print("sanitizers: stopped, out of time", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sanitize", action="store_true",
                        help="also the parsers under address and undefined-behaviour sanitizers")
    arguments = parser.parse_args()
    started = time.monotonic()
    tally = Tally()

    print("== unit tests", flush=True)
    run_bazel(tally, ["//..."], [])
    print("== the NEON kernels in QEMU", flush=True)
    run_neon(tally)
    print("== the arrows between modules", flush=True)
    run_script(tally, "tools/check_arrows", ["tools/check_arrows"])
    print("== end-to-end tests", flush=True)
    run_end_to_end(tally)
    if arguments.sanitize:
        run_sanitizers(tally, started)

    print()
    for name in tally.skipped:
        print(f"skipped: {name}")
    for failure in tally.failures:
        print(f"failed: {failure}")
    if tally.passed == 0 and not tally.failures:
        tally.fail("tests/run", "no test ran")
    print(f"{tally.passed} passed, {len(tally.failures)} failed", flush=True)
    return 1 if tally.failures else 0


sys.exit(main())
