"""Behaviour of `ualm serve` with signals, with clients that disconnect, stall, send garbage or are too many, and with other origins.

Run by `make test-server`.
"""
import base64
import concurrent.futures
import gzip
import http.client
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from running import ROOT, Server  # noqa: E402

MODEL = "ualm-small-world"
CHAIN = {"model": MODEL, "messages": [{"role": "user", "content": "a dog, then rain"}], "modalities": ["text", "audio"], "audio": {"format": "wav"}}
SPEECH = {"model": MODEL, "input": "one two", "ualm": {"seed": 1}}
JSON = {"content-type": "application/json"}


def checked(address):
    """Runs `ualm serve --check` for an address; returns the exit code and the output."""
    done = subprocess.run([Server.program(), "serve", "--check", "--listen", address], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Answer:
    """A response: status, headers and body."""

    def __init__(self, server, method, path, body=None, headers=None):
        address = urllib.parse.urlsplit(server.address)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
        try:
            body = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, path, body, headers if headers is not None else JSON)
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            self.body = response.read()
        finally:
            connection.close()

    def error(self):
        return json.loads(self.body)["error"]


def post(server, path, body, headers=None):
    return Answer(server, "POST", path, body, headers)


def speak(server, **more):
    return post(server, "/v1/audio/speech", {**SPEECH, **more})


def transcribe(server, sound, path="/v1/audio/transcriptions", **fields):
    head = 'content-disposition: form-data; name="{}"\r\n\r\n'
    parts = [head.format(name).encode() + value.encode() for name, value in {"model": MODEL, **fields}.items()]
    parts.append(head.format('file"; filename="a.wav').encode() + sound)
    body = b"".join(b"--cut\r\n" + part + b"\r\n" for part in parts) + b"--cut--\r\n"
    return post(server, path, body, {"content-type": "multipart/form-data; boundary=cut"})


def reason(server, **more):
    return post(server, "/v1/chat/completions", {**CHAIN, **more})


def metric(server, name):
    lines = Answer(server, "GET", "/metrics").body.decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(name + " ")))


def until(what, seconds=60):
    """Waits until `what()` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


class ConductTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--client-timeout", "2", "--limit-body", "1M", "--limit-output-seconds", "5", "--cors", "https://friend.example", "--cors", "app://notes", "--cors", "null")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def expect(self, answer, status, code, param=None):
        self.assertEqual((answer.status, answer.error()["code"], answer.error()["param"]), (status, code, param), answer.body)
        self.assertIn("x-request-id", answer.headers)

    def test_curl_commands_of_the_documentation(self):
        shown = (ROOT / "README.md").read_text() + (ROOT / "docs" / "server.md").read_text()
        blocks = re.findall(r"^ *curl (?:.*\\\n)*.*$", shown, re.MULTILINE)
        self.assertGreaterEqual(len(blocks), 3)
        with tempfile.TemporaryDirectory() as folder:
            for block in blocks:
                command = block.replace("http://127.0.0.1:8080", self.server.address)
                done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, (command, done.stderr))
                self.assertNotIn(b'"error"', done.stdout, command)
            sounds = list(pathlib.Path(folder).glob("*.wav"))
            self.assertTrue(sounds)
            for sound in sounds:
                self.assertEqual(sound.read_bytes()[:4], b"RIFF")

    def test_the_same_seed_gives_the_same_sound(self):
        first = speak(self.server)
        again = speak(self.server)
        self.assertEqual((first.status, first.headers["ualm-seed"]), (200, "1"))
        self.assertEqual(first.body, again.body)
        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            many = list(clients.map(lambda _: speak(self.server).body, range(4)))
        self.assertEqual(set(many), {first.body})

    def test_paths_methods_and_types(self):
        self.expect(Answer(self.server, "GET", "/v1/nothing"), 404, "not_found")
        self.expect(Answer(self.server, "GET", "/v1/chat/completions"), 405, "method")
        self.expect(post(self.server, "/v1/chat/completions", "{}", {"content-type": "text/plain"}), 415, "content_type")
        self.expect(post(self.server, "/v1/audio/transcriptions", "{}"), 415, "content_type")
        packed = gzip.compress(json.dumps(SPEECH).encode())
        self.expect(post(self.server, "/v1/audio/speech", packed, {**JSON, "content-encoding": "gzip"}), 415, "content_encoding")
        self.assertEqual(post(self.server, "/v1/audio/speech", SPEECH, {**JSON, "content-encoding": "identity"}).status, 200)
        self.expect(post(self.server, "/v1/audio/speech", b"", {**JSON, "content-length": str((1 << 20) + 1)}), 413, "too_large")
        self.assertEqual(json.loads(Answer(self.server, "GET", "/health").body), {"status": "ok"})

    def test_invalid_fields_are_named(self):
        noise = base64.b64encode(b"not a sound").decode()
        heard = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": noise, "format": "wav"}}]}
        self.expect(speak(self.server, model="other"), 404, "model_not_found", "model")
        self.expect(reason(self.server, messages=[{"role": "assistant", "content": "rain"}]), 400, "invalid", "messages")
        self.expect(reason(self.server, messages=[heard]), 400, "audio", "messages[0].content[0].input_audio.data")
        asked = {"role": "user", "content": "rain"}
        self.expect(reason(self.server, messages=[asked, {"role": "assistant", "content": "rain"}, asked]), 400, "invalid", "messages")
        self.expect(transcribe(self.server, b"not a sound"), 400, "audio", "file")
        # invalid settings are refused before any work
        self.expect(transcribe(self.server, b"not a sound", temperature="-1"), 400, "invalid", "temperature")
        self.expect(speak(self.server, ualm={"temperature": -1}), 400, "invalid", "ualm.temperature")
        self.expect(speak(self.server, response_format="flac", ualm={"sample_rate": 192000}), 400, "invalid", "ualm.sample_rate")
        self.expect(reason(self.server, temperature=-1), 400, "invalid", "temperature")
        self.expect(reason(self.server, max_tokens=0), 400, "invalid", "max_tokens")
        self.expect(post(self.server, "/v1/audio/speech", {"model": MODEL}), 400, "invalid", "input")
        self.expect(transcribe(self.server, b"", stream="true", response_format="verbose_json"), 400, "invalid", "response_format")
        self.expect(transcribe(self.server, b"", "/v1/audio/translations"), 400, "unsupported_field", "model")

    def test_neutral_fields_change_nothing(self):
        self.assertEqual(speak(self.server, voice="", response_format="", stream_format="", n=1, store=False).body, speak(self.server).body)
        ask = {"model": MODEL, "messages": [{"role": "user", "content": "What is rain?"}], "seed": 1, "max_tokens": 4}
        for more in ({}, {"force": []}, {"max_segments": 1}):
            answer = post(self.server, "/v1/chat/completions", {**ask, "best_of": 1, "stop": [""], "ualm": more})
            segments = json.loads(answer.body)["choices"][0]["message"]["segments"]
            self.assertEqual([segment["modality"] for segment in segments], ["text"], more)

    def test_limits(self):
        self.expect(speak(self.server, ualm={"max_steps": 400}), 400, "limit", "ualm.max_steps")
        self.expect(reason(self.server, ualm={"audio": {"max_steps": 400}}), 400, "limit", "ualm.audio.max_steps")
        self.expect(reason(self.server, n=9), 400, "limit", "n")
        question = {"model": MODEL, "messages": [{"role": "user", "content": "What is rain?"}]}
        self.expect(post(self.server, "/v1/chat/completions", {**question, "ualm": {"max_segments": 1 << 30}}), 400, "limit", "ualm.max_segments")
        long = [{"role": "user", "content": "rain " * 50_000}]
        self.expect(post(self.server, "/v1/chat/completions", {**question, "messages": long}), 400, "limit", "messages")
        for more, param in (({"max_tokens": 1 << 40}, "max_completion_tokens"), ({"ualm": {"text": {"max_steps": 1 << 40}}}, "ualm.text.max_steps")):
            self.expect(post(self.server, "/v1/chat/completions", {**question, **more}), 400, "limit", param)
        self.expect(reason(self.server, ualm={"reasoning": {"rounds": 33}}), 400, "invalid", "ualm.reasoning.rounds")
        long = json.loads(Answer(self.server, "GET", "/v1/models").body)["data"][0]["ualm"]["limits"]
        self.assertEqual((long["output_seconds"], long["takes"], long["body_bytes"]), (5, 8, 1 << 20))

    def test_other_origins(self):
        foreign = {**JSON, "origin": "https://foe.example"}
        self.expect(post(self.server, "/v1/audio/speech", SPEECH, foreign), 403, "origin")
        self.expect(post(self.server, "/v1/audio/speech", SPEECH, {**JSON, "host": "made-up.example"}), 403, "origin")
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,x-stainless-os"}
        for origin in ("https://friend.example", "app://notes", "null"):
            allowed = Answer(self.server, "OPTIONS", "/v1/audio/speech", headers={**asked, "origin": origin}).headers
            self.assertEqual(allowed["access-control-allow-origin"], origin)
            self.assertEqual(allowed["access-control-allow-headers"], asked["access-control-request-headers"])
            answer = post(self.server, "/v1/audio/speech", SPEECH, {**JSON, "origin": origin})
            self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (200, origin))
            self.assertIn("ualm-seed", answer.headers["access-control-expose-headers"])
        for origin in ("https://foe.example", "app://other"):
            self.assertNotIn("access-control-allow-origin", Answer(self.server, "OPTIONS", "/v1/audio/speech", headers={**asked, "origin": origin}).headers)

    def test_a_stalled_upload_times_out(self):
        host, port = self.server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            head = b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
            client.sendall(head)
            client.settimeout(20)
            self.assertIn(b" 408 ", client.recv(4096))

    def test_a_slow_but_steady_upload_is_served(self):
        host, port = self.server.address.removeprefix("http://").split(":")
        body = json.dumps(SPEECH).encode()
        for head, pieces in (
            (b"content-length: %d" % len(body), [body[at : at + 9] for at in range(0, len(body), 9)]),
            (b"transfer-encoding: chunked", [b"%x\r\n%s\r\n" % (len(body[at : at + 9]), body[at : at + 9]) for at in range(0, len(body), 9)] + [b"0\r\n\r\n"]),
        ):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" + head + b"\r\n\r\n")
                began = time.monotonic()
                for piece in pieces:
                    client.sendall(piece)
                    time.sleep(0.5)
                self.assertGreater(time.monotonic() - began, 2, "longer than the client timeout in all")
                client.settimeout(60)
                self.assertIn(b" 200 ", client.recv(4096))

    def test_health_checks_over_http_1_0_need_no_name(self):
        host, port = self.server.address.removeprefix("http://").split(":")
        asks = [(ask + b" HTTP/1.0\r\n\r\n", b" 200 ") for ask in (b"GET /health", b"HEAD /health", b"GET /v1/models", b"OPTIONS /")]
        asks.append((b"GET /health HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", b" 200 "))
        asks.append((b"GET /health HTTP/1.1\r\nHost: \xfc\r\nConnection: close\r\n\r\n", b" 403 "))
        for ask, status in asks:
            with socket.create_connection((host, int(port))) as client:
                client.settimeout(20)
                client.sendall(ask)
                answer = b"".join(iter(lambda: client.recv(4096), b""))
                self.assertIn(status, answer.split(b"\r\n")[0], ask)

    def test_the_program_checks_a_server(self):
        port = urllib.parse.urlsplit(self.server.address).port
        self.assertEqual(checked(f"127.0.0.1:{port}"), (0, ""))
        self.assertEqual(checked(f"0.0.0.0:{port}"), (0, ""))
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            nobody.listen(1)
            code, words = checked(f"127.0.0.1:{nobody.getsockname()[1]}")
        self.assertEqual(code, 1)
        self.assertIn("does not answer", words)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.assertIn("ualm serve", checked(f"127.0.0.1:{port}")[1])

    def test_requests_through_a_proxy(self):
        """With the headers of a proxy with TLS: Host and Origin as sent by the browser."""
        with Server("--host-name", "sound.example") as server:
            for host, origin, status in (
                ("sound.example", "https://sound.example", 200), ("sound.example:443", "https://sound.example", 200),
                ("sound.example", None, 200), ("sound.example", "https://foe.example", 403), ("made-up.example", None, 403),
            ):  # fmt: skip
                headers = {"host": host, "x-forwarded-proto": "https", "x-forwarded-for": "10.0.0.1"} | ({"origin": origin} if origin else {})
                self.assertEqual(Answer(server, "GET", "/v1/models", headers=headers).status, status, (host, origin))

    def test_disconnected_clients_free_their_slots(self):
        gone = metric(self.server, "ualm_clients_gone_total")
        host, port = self.server.address.removeprefix("http://").split(":")
        for stream in (False, True):
            body = json.dumps({**CHAIN, "stream": stream}).encode()
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                               + b"content-length: %d\r\n\r\n" % len(body) + body)
                until(lambda: metric(self.server, "ualm_slots_in_use") > 0)
            until(lambda: metric(self.server, "ualm_slots_in_use") == 0)
        self.assertEqual(metric(self.server, "ualm_clients_gone_total"), gone + 2)

    def test_a_client_with_the_whole_response_is_not_counted_as_gone(self):
        gone = metric(self.server, "ualm_clients_gone_total")
        for _ in range(10):
            self.assertEqual(speak(self.server).status, 200)
        until(lambda: metric(self.server, "ualm_slots_in_use") == 0)
        self.assertEqual(metric(self.server, "ualm_clients_gone_total"), gone)

    def test_garbage_is_refused(self):
        draw = random.Random(8)
        form = {"content-type": "multipart/form-data; boundary=x"}
        for _ in range(60):
            garbage = draw.randbytes(draw.randrange(400))
            for path, headers in (("/v1/chat/completions", JSON), ("/v1/audio/speech", JSON), ("/v1/audio/transcriptions", form)):
                self.assertEqual(post(self.server, path, garbage, headers).status, 400)
        self.assertEqual(speak(self.server).status, 200)

    def test_the_log_has_no_contents(self):
        secret = "an umbrella of the seventh kind"
        answer = speak(self.server, input=secret)
        until(lambda: any(answer.headers["x-request-id"] in line for line in list(self.server.lines)))
        lines = [json.loads(line) for line in self.server.lines if line.startswith("{")]
        self.assertFalse(any("umbrella" in line for line in self.server.lines))
        mine = [line for line in lines if line.get("span", {}).get("id") == answer.headers["x-request-id"]]
        self.assertTrue(any(line.get("status") == 200 for line in mine), mine)


NO_SIGTERM = unittest.skipIf(os.name == "nt", "Windows has no SIGTERM")


class EndTest(unittest.TestCase):
    """Shutdown and queue limits."""

    def test_requests_beyond_the_queue_are_refused(self):
        with Server("--slots", "1", "--queue", "1") as server, concurrent.futures.ThreadPoolExecutor(6) as clients:
            answers = list(clients.map(lambda seed: reason(server, seed=seed), range(6)))
            statuses = [answer.status for answer in answers]
            self.assertEqual(set(statuses), {200, 429}, statuses)
            refused = next(answer for answer in answers if answer.status == 429)
            self.assertGreaterEqual(int(refused.headers["retry-after"]), 1)
            self.assertEqual(refused.error()["code"], "queue_full")

    @NO_SIGTERM
    def test_sigterm_drains_replies(self):
        with Server("--slots", "2", "--grace", "120") as server, concurrent.futures.ThreadPoolExecutor(3) as clients:
            replies = [clients.submit(reason, server, seed=seed) for seed in range(3)]
            until(lambda: metric(server, "ualm_slots_in_use") + metric(server, "ualm_queue_length") == 3)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: checked(server.address.removeprefix("http://"))[0] == 1)
            for reply in replies:
                answer = reply.result()
                self.assertEqual(answer.status, 200)
                whole = json.loads(answer.body)
                self.assertIsNone(whole["ualm"]["incomplete"])
                self.assertEqual(whole["choices"][0]["message"]["segments"][-1]["stage"], "final")
            self.assertEqual(server.process.wait(60), 0)

    @NO_SIGTERM
    def test_partial_replies_are_sent_after_the_grace_period(self):
        for grace in ("0.35", "0.4", "0.45", "0.5"):  # stopped within a segment, or between two
            with self.subTest(grace=grace):
                self.check_partial_reply_after(grace)

    def check_partial_reply_after(self, grace):
        with Server("--slots", "1", "--grace", grace) as server, concurrent.futures.ThreadPoolExecutor(2) as clients:
            many = {"ualm": {"reasoning": {"mode": "reflect", "rounds": 32}}}
            first = clients.submit(reason, server, **many)
            until(lambda: metric(server, "ualm_slots_in_use") == 1)
            second = clients.submit(reason, server, **many)
            until(lambda: metric(server, "ualm_queue_length") == 1)
            time.sleep(0.5)
            self.assertEqual(server.terminate(), 0)
            answer = first.result()
            self.assertEqual(answer.status, 200, answer.body)
            whole = json.loads(answer.body)
            self.assertEqual((whole["ualm"]["incomplete"], whole["choices"][0]["finish_reason"]), ("shutdown", "length"))
            self.assertEqual((second.result().status, second.result().error()["code"]), (503, "stopping"))

    def test_partial_replies_are_sent_at_the_deadline(self):
        long = {"min_steps": 3800, "max_steps": 4000}
        with Server("--deadline", "3", "--limit-output-seconds", "100") as server:
            answer = reason(server, modalities=["audio"], ualm={"audio": long})
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(json.loads(answer.body)["ualm"]["incomplete"], "deadline")

    def test_a_killed_server_leaves_visibly_incomplete_responses(self):
        with Server() as server, concurrent.futures.ThreadPoolExecutor(2) as clients:
            whole = clients.submit(reason, server)
            streamed = clients.submit(reason, server, stream=True)
            until(lambda: metric(server, "ualm_slots_in_use") == 2)
            server.process.kill()
            for reply in (whole, streamed):
                self.assertIsInstance(reply.exception(), (OSError, http.client.HTTPException))
        with Server() as again:
            self.assertEqual(speak(again).status, 200)

    def test_a_sound_is_the_same_as_on_the_command_line(self):
        """Compares every byte, including the record."""
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "one-two.wav"
            command = [Server.program(), "speak", "one two", "--seed", "1", "-o", path, "--model", ROOT / "onnx" / "default"]
            subprocess.run(command, capture_output=True, check=True)
            self.assertEqual(path.read_bytes(), speak(server).body)

    def test_sound_is_enhanced(self):
        """Checks one take and several; the test enhancer returns stereo at 48000 Hz."""
        package = ROOT / "target" / "fixtures" / "packages" / "enhanced-fp32"
        with Server(package=package) as server:
            model = json.loads(Answer(server, "GET", "/v1/models").body)["data"][0]["id"]
            spoken = speak(server, model=model, ualm={"seed": 1, "min_steps": 60, "max_steps": 60})
            sounds = [spoken.body, *self.sounds(reason(server, model=model, modalities=["audio"], n=2, ualm={"audio": {"min_steps": 60, "max_steps": 60}}))]
            self.assertEqual(len(sounds), 3)
            for sound in sounds:
                with wave.open(io.BytesIO(sound)) as file:
                    self.assertEqual((file.getnchannels(), file.getframerate()), (2, 48000))
                    self.assertGreater(file.getnframes(), 48000 // 2)

    def test_translation(self):
        with tempfile.TemporaryDirectory() as folder:
            package = shutil.copytree(ROOT / "onnx" / "default", pathlib.Path(folder) / "package")
            manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
            manifest["prompts"]["translate"] = "Say it in English."
            manifest["languages"] = ["de", "fr"]
            (package / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8-sig")  # with a byte order mark
            with Server(package=package) as server:
                sound = speak(server).body
                answer = transcribe(server, sound, "/v1/audio/translations", response_format="verbose_json")
                self.assertEqual(answer.status, 200, answer.body)
                self.assertEqual([json.loads(answer.body)[name] for name in ("task", "language")], ["translate", "en"])
                for language in ("de", "en"):  # the model cannot be told which of several languages it hears
                    refused = transcribe(server, sound, language=language)
                    self.assertEqual((refused.status, refused.error()["param"]), (400, "language"))
                self.assertEqual(json.loads(transcribe(server, sound, response_format="verbose_json").body)["language"], "und")

    @staticmethod
    def sounds(answer):
        return [base64.b64decode(choice["message"]["audio"]["data"]) for choice in json.loads(answer.body)["choices"]]

    def test_other_machines_require_keys(self):
        command = [Server.program(), "serve", "--listen", "0.0.0.0:0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api-keys", done.stderr)

    def test_invalid_key_files_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            empty = pathlib.Path(folder) / "keys"
            absent = pathlib.Path(folder) / "absent"
            empty.write_text("\n# nobody\n")
            wide = pathlib.Path(folder) / "wide"
            wide.write_text("sesame\n", encoding="utf-16")
            for file, code, why in ((empty, 2, "has no keys"), (absent, 1, "there is no such file"), (wide, 2, "UTF-16")):
                done = subprocess.run([Server.program(), "serve", "--api-keys", file], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(why, done.stderr)


if __name__ == "__main__":
    unittest.main()
