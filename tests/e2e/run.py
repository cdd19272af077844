#!/usr/bin/env python3
"""End-to-end tests: the built coordinator and worker as a person runs them.

    bazel build //coordinator //worker //tools:make_model //tools:quantize \\
        //tools:make_architecture_model //tests:render_conversations
    tests/e2e/run.py [-k PATTERN] [--results FILE]

Needs Python's standard library alone; what tests/fetch-oracles fetches to compare tokenizers with.
One line per case; exit code 1 when one failed.
"""

import argparse
import json
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Lines(unittest.TestResult):
    """Prints one line per case, and the reason below one that failed."""

    def __init__(self):
        super().__init__()
        self.names = {"passed": [], "failed": [], "skipped": []}
        self._started = time.monotonic()  # a class may be skipped before any case starts
        self._case_failed = False

    @staticmethod
    def _name(test):
        return test.id().removeprefix("__main__.")

    def _line(self, word, test, note=""):
        seconds = time.monotonic() - self._started
        print(f"{word:7} {self._name(test)} ({seconds:.1f} s){note}", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        self._case_failed = False

    def _fail(self, test, error):
        first = str(error[1]).splitlines()[0] if str(error[1]) else error[0].__name__
        if not self._case_failed:
            self.names["failed"].append(f"{self._name(test)}: {first}")
        self._case_failed = True
        self._line("FAILED", test)
        print("  " + self._exc_info_to_string(error, test).replace("\n", "\n  "), flush=True)

    def addError(self, test, error):
        super().addError(test, error)
        self._fail(test, error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._fail(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._fail(subtest, error)
            # The case as a whole is not a second failure.
            self._case_failed = True

    def addSuccess(self, test):
        super().addSuccess(test)
        if not self._case_failed:
            self.names["passed"].append(self._name(test))
            self._line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.names["skipped"].append(f"{self._name(test)}: {reason}")
        self._line("skipped", test, f": {reason}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="PATTERN", help="only cases whose name has this in it")
    parser.add_argument("--results", metavar="FILE", help="write the outcome there, as JSON")
    arguments = parser.parse_args()

    sys.path.insert(0, HERE)
    loader = unittest.TestLoader()
    if arguments.k:
        loader.testNamePatterns = [f"*{arguments.k}*"]
    suite = loader.discover(HERE, pattern="test_*.py", top_level_dir=HERE)
    result = Lines()
    suite.run(result)

    outcome = {"passed": len(result.names["passed"]), "failures": result.names["failed"],
               "skipped": result.names["skipped"]}
    if arguments.results:
        with open(arguments.results, "w") as file:
            json.dump(outcome, file)
    print(f"end-to-end: {outcome['passed']} passed, {len(outcome['failures'])} failed, "
          f"{len(outcome['skipped'])} skipped")
    return 1 if outcome["failures"] or outcome["passed"] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
