"""Servers under measurement, and many clients of theirs in one thread: what compare_servers and
measure_serving share."""

import json
import random
import selectors
import signal
import socket
import subprocess
import sys
import time

START_S = 120   # for a server to load
FIRST_ID, LAST_ID = 300, 30000  # ordinary tokens of vocabularies of 32,000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def random_prompt(seed, count, first=FIRST_ID, last=LAST_ID):
    ids = random.Random(seed)
    return [ids.randint(first, last) for _ in range(count)]


class Server:
    """Processes of one side; the last one listens on `port`."""

    def __init__(self, commands, port):
        self.port = port
        self.processes = [subprocess.Popen([str(word) for word in command],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                          for command in commands]

    def __enter__(self):
        end = time.monotonic() + START_S
        while b" 200 " not in self.ask(b"GET /health HTTP/1.1\r\nHost: x\r\n"
                                       b"Connection: close\r\n\r\n")[:20]:
            if time.monotonic() > end or self.processes[-1].poll() is not None:
                sys.exit(f"error: no server: {self.processes[-1].args}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def ask(self, request):
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(request)
                return connection.recv(4096)
        except OSError:
            return b""


class Stream:
    """One streamed completion of token ids: when each of its events came."""

    def __init__(self, port, prompt, tokens, seed):
        body = json.dumps({
            "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "stream": True,
            "seed": seed, "cache_prompt": False}).encode()
        self.events = []
        self.tail = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                            % len(body) + body)

    def read(self):
        """False at the end."""
        data = self.socket.recv(1 << 16)
        self.tail = (self.tail + data)[-200:]
        self.events += [time.monotonic()] * data.count(b"data: {")
        if not data and b"[DONE]" not in self.tail:
            sys.exit(f"error: a stream ended early: {self.tail}")
        return bool(data)

    def gaps(self, begin=0.0, end=float("inf")):
        """Seconds between neighbouring events, those that came in [begin, end)."""
        return [b - a for a, b in zip(self.events, self.events[1:]) if begin <= b < end]


def read_all(streams, until=lambda: False):
    """Reads what comes, until all streams have ended or `until` says so."""
    waiting = selectors.DefaultSelector()
    for stream in streams:
        waiting.register(stream.socket, selectors.EVENT_READ, stream)
    while waiting.get_map() and not until():
        for key, _ in waiting.select(timeout=0.02):
            if not key.data.read():
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    waiting.close()
