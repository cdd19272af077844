"""Real processes under test: how they are started, timed, killed, and found again as orphans."""

import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "bazel-bin")
COORDINATOR = os.path.join(BIN, "coordinator", "coordinator")
WORKER = os.path.join(BIN, "worker", "worker")

# What the command line promises for anything that a person can cause: told within this.
ERROR_S = 2.0
# No worker outlives its coordinator by more than this.
ORPHAN_S = 2.0
# A case that takes longer is broken, whatever it waits for.
CASE_S = 60

# Marks the processes that a case starts, and all that those start in turn.
_MARK = "BATON_E2E_CASE"

# In CI (.ci/run sets this) the oracles must be there: a test that nobody runs shows nothing.
_ORACLES_REQUIRED = "BATON_REQUIRE_ORACLES"


class CaseTimeout(Exception):
    pass


class Finished:
    """A process that ended: exit code (negative: killed by a signal), output, seconds it took."""

    def __init__(self, command, code, stdout, stderr, seconds):
        self.command = command
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds

    @property
    def text(self):
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_lines(self):
        return [line for line in self.stderr.splitlines() if line.startswith("error:")]

    def __str__(self):
        return (f"{' '.join(self.command)}\nexit code {self.code} after {self.seconds:.2f} s\n"
                f"stdout: {self.text[-2000:]}\nstderr: {self.stderr[-2000:]}")


class Running:
    """A process that goes on beside the case; its stderr is collected as it comes."""

    def __init__(self, command, env, stdin=subprocess.DEVNULL):
        self.command = command
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, env=env, stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self._stderr = []
        self._changed = threading.Condition()
        self._stderr_open = True
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        for line in self.process.stderr:
            with self._changed:
                self._stderr.append(line.decode("utf-8", "replace"))
                self._changed.notify_all()
        with self._changed:
            self._stderr_open = False
            self._changed.notify_all()

    @property
    def stderr(self):
        with self._changed:
            return "".join(self._stderr)

    def wait_for_stderr(self, pattern, seconds=10):
        """The match of a pattern in stderr, once it is there."""
        def look():
            return re.search(pattern, "".join(self._stderr))
        with self._changed:
            self._changed.wait_for(lambda: look() or not self._stderr_open, seconds)
            found = look()
        if not found:
            raise AssertionError(f"{self.command}: no {pattern!r} on stderr: {self.stderr}")
        return found

    def wait_for_output(self, count=1):
        """Reads `count` bytes of stdout, as they are written."""
        data = self.process.stdout.read(count)
        if len(data) < count:
            raise AssertionError(f"{self.command}: ended before it wrote: {self.stderr}")
        return data

    def kill(self, signal_number=signal.SIGKILL):
        os.kill(self.pid, signal_number)

    def finish(self, seconds=CASE_S):
        """Waits for the end and reads the rest of stdout."""
        out = self.process.stdout.read()
        code = self.process.wait(timeout=seconds)
        with self._changed:
            self._changed.wait_for(lambda: not self._stderr_open, 1)
        return Finished(self.command, code, out, self.stderr, time.monotonic() - self.started)


def wait_until(condition, seconds, step=0.02):
    """Whether the condition came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # the process has ended, or is not ours
        return b""


def _is_zombie(pid):
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"], [])


def marked_processes(mark):
    """Process ids of everything that was started, directly or not, under this mark."""
    wanted = f"{_MARK}={mark}".encode()
    return [int(name) for name in os.listdir("/proc") if name.isdigit()
            and wanted in _read(f"/proc/{name}/environ").split(b"\0") and not _is_zombie(name)]


def is_worker(pid):
    try:
        return os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(WORKER)
    except OSError:
        return False


def instruction_sets():
    """Names for --isa that this machine can run."""
    flags = set()
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("flags", "Features")):
                flags = set(line.split())
                break
    avx2 = {"avx2", "fma", "f16c"}
    needs = {
        "scalar": set(),
        "avx2": avx2,
        "avxvnni": avx2 | {"avx_vnni"},
        "avx512": avx2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
        "neon": {"asimddp"},
    }
    return [name for name, needed in needs.items() if needed <= flags]


def oracle_python():
    """The python with the libraries of tests/fetch-oracles. Skips the case where there is none."""
    done = subprocess.run([os.path.join(ROOT, "tests", "fetch-oracles"), "--offline"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode == 0:
        return done.stdout.strip()
    if os.environ.get(_ORACLES_REQUIRED):
        raise AssertionError(f"{_ORACLES_REQUIRED} is set, and tests/fetch-oracles has not run")
    raise unittest.SkipTest("tests/fetch-oracles fetches what this needs")


class EndToEndTest(unittest.TestCase):
    """Base of all cases: bounded in time, in a directory of its own, and leaving no process."""

    case_seconds = CASE_S

    def setUp(self):
        self.mark = uuid.uuid4().hex
        directory = tempfile.TemporaryDirectory(prefix="baton-e2e-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.addCleanup(self._stop_everything)
        self._arm_timer()

    def _arm_timer(self):
        def expired(_signal, _frame):
            raise CaseTimeout(f"not done after {self.case_seconds} s")
        signal.signal(signal.SIGALRM, expired)
        signal.alarm(self.case_seconds)
        self.addCleanup(signal.alarm, 0)

    def _stop_everything(self):
        signal.alarm(0)
        for pid in marked_processes(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    # --- processes

    def environment(self):
        # Sockets of local workers go where the case can see them.
        return {**os.environ, _MARK: self.mark, "XDG_RUNTIME_DIR": self.directory}

    def start(self, *command, **kwargs):
        return Running([str(word) for word in command], self.environment(), **kwargs)

    def run_program(self, *command, **kwargs):
        return self.start(*command, **kwargs).finish()

    def coordinator(self, *arguments, **kwargs):
        return self.run_program(COORDINATOR, *arguments, **kwargs)

    def start_worker(self, *arguments, listen="127.0.0.1:0"):
        """A worker that has said where it listens; its address is in `.address`."""
        worker = self.start(WORKER, "--listen", listen, *arguments)
        worker.address = worker.wait_for_stderr(r"listening on (\S+)").group(1)
        return worker

    def workers(self):
        return sorted(pid for pid in marked_processes(self.mark) if is_worker(pid))

    # --- expectations

    def expect_ok(self, *arguments, **kwargs):
        done = self.coordinator(*arguments, **kwargs)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(done.error_lines, [], str(done))
        return done

    def expect_json(self, *arguments, **kwargs):
        done = self.expect_ok(*arguments, "--json", **kwargs)
        try:
            return json.loads(done.stdout)
        except ValueError:
            self.fail(f"not one JSON object: {done}")

    def check_error(self, done, code=1, names=(), within=ERROR_S):
        """One `error:` line that names the thing, the exit code, in time, nothing on stdout."""
        self.assertEqual(done.code, code, str(done))
        self.assertEqual(len(done.error_lines), 1, str(done))
        for name in names:
            self.assertRegex(done.error_lines[0].lower(), str(name).lower(), str(done))
        for word in ("terminate called", "CHECK failed", "core dumped", "Sanitizer"):
            self.assertNotIn(word, done.stderr, str(done))
        if within is not None:
            self.assertLessEqual(done.seconds, within, str(done))
        return done

    def expect_error(self, *arguments, code=1, names=(), within=ERROR_S):
        done = self.check_error(self.coordinator(*arguments), code, names, within)
        self.assertEqual(done.stdout, b"", str(done))
        self.expect_no_orphans()
        return done

    def expect_usage_error(self, *arguments, names=()):
        return self.expect_error(*arguments, code=2, names=names)

    def expect_no_orphans(self, seconds=ORPHAN_S):
        self.assertTrue(wait_until(lambda: not marked_processes(self.mark), seconds),
                        f"still running: {self.describe_processes()}")
        sockets = os.path.join(self.directory, "baton-*")
        self.assertTrue(wait_until(lambda: not glob.glob(sockets), seconds),
                        f"left behind: {glob.glob(sockets)}")

    def describe_processes(self):
        return [_read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode()
                for pid in marked_processes(self.mark)]
