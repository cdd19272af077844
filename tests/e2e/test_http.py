"""The HTTP server as clients use it: real processes, real sockets, OpenAI's own client."""

import http.client
import json
import os
import resource
import signal
import subprocess
import threading

import harness
import models

PROMPT = "Once upon a time"
STREAMS = 200
OPEN_STREAMS = 400
STREAMS_AT_ONCE = 1000
# gRPC starts threads and ends them as it sees fit, a few at a time.
GRPC_THREADS = 4


class Server:
    """A coordinator that serves, and requests to it."""

    def __init__(self, test, *arguments, model=None, launcher=()):
        self.process = test.start(*launcher, harness.COORDINATOR, "--model",
                                  model or models.path("f32"), "--port", 0, "--temp", 0,
                                  "--chat-template", "chatml", *arguments)
        self.host, self.port = self.process.wait_for_stderr(
            r"listening on http://([\d.]+):(\d+)").groups()

    def wait_until_ready(self):
        self.process.wait_for_stderr(r"serving \S+ on http://")
        return self

    def connect(self):
        return http.client.HTTPConnection(self.host, int(self.port), timeout=harness.CASE_S)

    def request(self, method, path, body=None):
        """Status and body, which is JSON where it can be."""
        connection = self.connect()
        connection.request(method, path, body if body is None else json.dumps(body))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(data) if is_json else data.decode()

    def complete(self, **fields):
        status, answer = self.request("POST", "/v1/completions", {"prompt": PROMPT, **fields})
        assert status == 200, answer
        return answer

    def stream(self, **fields):
        """The open response of a stream, and its connection."""
        connection = self.connect()
        connection.request("POST", "/v1/completions",
                           json.dumps({"prompt": PROMPT, "stream": True, **fields}))
        return connection.getresponse(), connection

    def streamed_text(self, **fields):
        response, connection = self.stream(**fields)
        text = text_of(response.read().decode())
        connection.close()
        return text

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def metric(self, name):
        _, text = self.request("GET", "/metrics")
        return float(next(line.split()[-1] for line in text.splitlines()
                          if line.startswith(name)))


def text_of(stream):
    """The text of a stream's events, which must be complete."""
    events = stream.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], stream[-500:]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]
              if not event.startswith(":")]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


def allow_open_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


class Http(harness.EndToEndTest):
    def serve(self, *arguments, **keywords):
        return Server(self, *arguments, **keywords)

    def test_the_same_text_as_on_the_command_line(self):
        arguments = ["--model", models.path("f32"), "-p", PROMPT, "-n", 24, "--temp", 0,
                     "--ignore-eos"]
        expected = self.expect_json(*arguments)["text"]
        server = self.serve("--workers", 2).wait_until_ready()
        fields = {"max_tokens": 24, "ignore_eos": True}
        self.assertEqual(server.complete(**fields)["choices"][0]["text"], expected)
        self.assertEqual(server.streamed_text(**fields), expected)

    def test_health_from_the_start(self):
        server = self.serve("--workers", 2)
        seen = set()
        while "ok" not in seen:
            status, health = server.request("GET", "/health")
            seen.add(health["status"])
            self.assertEqual(status, 200 if health["status"] == "ok" else 503)
        self.assertLessEqual(seen, {"loading", "ok"})

    def test_open_streams_need_no_threads(self):
        server = self.serve("--workers", 0).wait_until_ready()
        before = server.threads()
        streams = [server.stream(max_tokens=2000, ignore_eos=True) for _ in range(OPEN_STREAMS)]
        self.assertEqual(server.threads(), before)
        for response, connection in streams:
            connection.close()
            response.close()
        self.assertTrue(harness.wait_until(
            lambda: server.metric("baton_num_requests_running") +
            server.metric("baton_num_requests_waiting") == 0, 10))

    def test_a_thousand_streams_at_once(self):
        allow_open_files(2 * STREAMS_AT_ONCE)
        server = self.serve("--workers", 2).wait_until_ready()
        fields = {"prompt": PROMPT, "stream": True, "max_tokens": 40, "ignore_eos": True}
        expected = server.streamed_text(**fields)
        before = server.threads()
        connections = [server.connect() for _ in range(STREAMS_AT_ONCE)]
        for connection in connections:
            connection.connect()
        # So that none has ended before the last one is there.
        for worker in self.workers():
            os.kill(worker, signal.SIGSTOP)
        for connection in connections:
            connection.request("POST", "/v1/completions", json.dumps(fields))
        self.assertTrue(harness.wait_until(
            lambda: server.metric("baton_num_requests_running") +
            server.metric("baton_num_requests_waiting") == STREAMS_AT_ONCE, 10))
        self.assertLessEqual(server.threads(), before + GRPC_THREADS)
        for worker in self.workers():
            os.kill(worker, signal.SIGCONT)
        # One after the other: what nobody reads yet waits in the server.
        for connection in connections:
            self.assertEqual(text_of(connection.getresponse().read().decode()), expected)
            connection.close()

    def test_many_clients_at_once_read_the_same(self):
        server = self.serve("--workers", 2).wait_until_ready()
        fields = {"max_tokens": 12, "ignore_eos": True}
        expected = server.streamed_text(**fields)
        texts = [None] * STREAMS

        def ask(index):
            texts[index] = server.streamed_text(**fields)

        clients = [threading.Thread(target=ask, args=(i,)) for i in range(STREAMS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(texts, [expected] * STREAMS)

    def test_who_leaves_is_forgotten(self):
        server = self.serve("--workers", 2).wait_until_ready()
        for streaming in (True, False):
            connection = server.connect()
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": PROMPT, "stream": streaming, "max_tokens": 2000, "ignore_eos": True}))
            if streaming:
                connection.getresponse().read(100)
            connection.close()
            self.assertTrue(harness.wait_until(
                lambda: server.metric("baton_num_requests_running") == 0, 5))

    def test_a_signal_finishes_what_was_begun(self):
        server = self.serve("--workers", 2).wait_until_ready()
        response, connection = server.stream(max_tokens=400, ignore_eos=True)
        begin = response.read(200).decode()
        server.process.kill(signal.SIGTERM)
        server.process.wait_for_stderr("finishing 1 request")
        text = text_of(begin + response.read().decode())
        self.assertGreater(len(text), 100)
        done = server.process.finish()
        self.assertEqual(done.code, 0, done)
        self.expect_no_orphans()

    def test_a_second_signal_ends_at_once(self):
        server = self.serve("--workers", 2).wait_until_ready()
        response, connection = server.stream(max_tokens=2000, ignore_eos=True)
        response.read(100)
        server.process.kill(signal.SIGTERM)
        server.process.wait_for_stderr("finishing")
        server.process.kill(signal.SIGTERM)
        server.process.finish()
        self.expect_no_orphans()

    def test_a_lost_worker_is_told_and_ends_the_server(self):
        for busy in (False, True):
            with self.subTest(busy=busy):
                server = self.serve("--workers", 2).wait_until_ready()
                if busy:
                    response, connection = server.stream(max_tokens=2000, ignore_eos=True)
                    response.read(100)
                os.kill(self.workers()[1], signal.SIGKILL)
                if busy:
                    last = response.read().decode().strip().split("\n\n")[-1]
                    self.assertIn("worker 1", json.loads(last.removeprefix("data: "))["error"]
                                  ["message"])
                done = server.process.finish()
                self.assertEqual(done.code, 1, done)
                self.assertIn("worker 1", done.error_lines[-1])
                self.expect_no_orphans()

    def test_an_address_in_use(self):
        server = self.serve()
        done = self.coordinator("--model", models.path("f32"), "--port", server.port)
        self.check_error(done, names=[f"127.0.0.1:{server.port}", "in use"])

    def test_openais_own_client(self):
        server = self.serve("--workers", 2).wait_until_ready()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openai_client.py")
        python = harness.oracle_python()
        done = subprocess.run([python, script, f"http://{server.host}:{server.port}/v1"],
                              capture_output=True, text=True, timeout=harness.CASE_S)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])


if __name__ == "__main__":
    harness.unittest.main()
