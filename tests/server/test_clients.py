"""Requests of real clients (tests/data/clients/requests.json) to `ualm serve` with the default package.

Run by `make test-server`.
"""
import base64
import io
import json
import math
import pathlib
import struct
import sys
import unittest
import urllib.error
import urllib.request
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from running import ROOT, Server  # noqa: E402

MODEL = "ualm-small-world"
REQUESTS = json.loads((ROOT / "tests" / "data" / "clients" / "requests.json").read_text(encoding="utf-8"))


def tone():
    """Returns a quarter of a second of a tone, as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1), out.setsampwidth(2), out.setframerate(16000)
        out.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 10))) for i in range(4000)))
    return file.getvalue()


SOUND = tone()


def filled(value):
    """Fills in the model's name and a sound."""
    if isinstance(value, dict):
        return {name: filled(part) for name, part in value.items()}
    if isinstance(value, list):
        return [filled(part) for part in value]
    return {"MODEL": MODEL, "SOUND": base64.b64encode(SOUND).decode()}.get(value, value) if isinstance(value, str) else value


def form_of(fields):
    """Returns the body of a form and its content type."""
    parts = []
    for name, value in fields:
        file = '; filename="a.wav"\r\ncontent-type: audio/wav' if value == "SOUND" else ""
        content = SOUND if value == "SOUND" else filled(value).encode()
        parts.append(f'--cut\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n")
    return b"".join(parts) + b"--cut--\r\n", "multipart/form-data; boundary=cut"


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--voice", "alloy", "--voice", "marin", "--limit-output-seconds", "3")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def send(self, request):
        """Returns the status, the headers and the body of the response."""
        body, kind = form_of(request["form"]) if "form" in request else (json.dumps(filled(request["body"])).encode(), "application/json")
        asked = urllib.request.Request(self.server.address + request["path"], body, {"content-type": kind, "authorization": "Bearer any"})
        try:
            with urllib.request.urlopen(asked) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.headers, refusal.read()

    def test_every_request_is_answered_or_refused_by_name(self):
        self.assertGreater(len(REQUESTS), 30)
        for request in REQUESTS:
            with self.subTest(client=request["client"], what=request["what"]):
                status, headers, body = self.send(request)
                if "refused" in request:
                    error = json.loads(body)["error"]
                    self.assertEqual((status, error["param"]), (400, request["refused"]), error)
                    self.assertGreater(len(error["message"]), 20)
                else:
                    self.assertEqual(status, 200, body[:500])
                    self.check(request, headers, body)

    def check(self, request, headers, body):
        """Checks that the response fits the request."""
        kind = request["path"].rsplit("/", 1)[-1]
        if kind == "speech":
            magic = {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS", "mp3": b"\xff", "pcm": b""}[request["body"].get("response_format", "wav")]
            self.assertTrue(body.startswith(magic), body[:4])
            self.assertTrue(headers["content-type"].startswith("audio/"))
        elif kind == "transcriptions":
            answer = json.loads(body)
            self.assertIsInstance(answer["text"], str)
            self.assertNotIn("warnings", answer)
        elif request["body"].get("stream"):
            self.assertIn(b"data: [DONE]", body)
            self.assertEqual(b'"usage":{' in body, bool(request["body"].get("stream_options")))
        else:
            message = json.loads(body)["choices"][0]["message"]
            self.assertEqual(message["role"], "assistant")

    def test_answers_of_every_kind_can_be_sent_back(self):
        """Answers with text, sound or both can be sent back as history, with and without extensions."""
        ask = {"model": MODEL, "seed": 1, "messages": [{"role": "user", "content": "a dog"}]}
        for made in ({}, {"modalities": ["audio"], "audio": {"format": "flac"}}, {"modalities": ["text", "audio"], "audio": {"format": "pcm16"}},
                     {"modalities": ["audio"], "audio": {"format": "wav"}, "ualm": {"force": ["speech"], "record": True}}):  # fmt: skip
            with self.subTest(made=made):
                status, _, body = self.send({"path": "/v1/chat/completions", "body": {**ask, **made}})
                self.assertEqual(status, 200, body[:500])
                message = json.loads(body)["choices"][0]["message"]
                kept = {name: message.get(name) for name in ("role", "content", "refusal", "audio")}
                for answer in [message] if "pcm16" in str(made) else [message, kept]:
                    history = [*ask["messages"], answer, {"role": "user", "content": "What was it?"}]
                    status, _, body = self.send({"path": "/v1/chat/completions", "body": {"model": MODEL, "messages": history}})
                    self.assertEqual(status, 200, body[:500])
                    self.assertNotIn("warnings", json.loads(body)["ualm"])

    def test_history_changes_the_next_answer(self):
        """The sound of an answer that is sent back is part of the prompt, with its full length."""
        ask = [{"role": "user", "content": "a dog"}]
        made = {"model": MODEL, "seed": 1, "messages": ask, "modalities": ["audio"], "audio": {"format": "wav"}}
        message = json.loads(self.send({"path": "/v1/chat/completions", "body": made})[2])["choices"][0]["message"]
        seconds = message["segments"][0]["seconds"]

        def prompt(answer):
            body = {"model": MODEL, "messages": [*ask, answer, {"role": "user", "content": "again"}], "max_tokens": 2}
            return json.loads(self.send({"path": "/v1/chat/completions", "body": body})[2])

        silent = prompt({"role": "assistant", "content": None})
        self.assertIn("is empty", silent["ualm"]["warnings"][0])
        longer = prompt(message)["usage"]["prompt_tokens"] - silent["usage"]["prompt_tokens"]
        self.assertGreater(longer, 45 * seconds)

    def test_a_sound_that_cannot_be_encoded_gives_a_warning(self):
        """With a codec without an encoder, only the text of an answer is used, with a warning about the sound."""
        package = ROOT / "target" / "fixtures" / "packages" / "tiny-audex-int8"
        name = json.loads((package / "manifest.json").read_text(encoding="utf-8"))["name"]
        with Server(package=package) as server:
            made = {"id": "audio-1", "data": base64.b64encode(SOUND).decode(), "expires_at": 1, "transcript": ""}
            said = [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "A dog.", "audio": made}, {"role": "user", "content": "again"}]
            for answer, transcript in ((said, ""), (said, "A dog.")):
                answer[1]["audio"]["transcript"] = transcript
                asked = urllib.request.Request(server.address + "/v1/chat/completions",
                                               json.dumps({"model": name, "messages": answer, "max_tokens": 4}).encode(), {"content-type": "application/json"})  # fmt: skip
                with urllib.request.urlopen(asked) as reply:
                    warnings = json.load(reply)["ualm"].get("warnings", [])
                self.assertEqual(len(warnings), 0 if transcript else 1, warnings)
                self.assertTrue(all("messages[1].audio.data" in warning for warning in warnings))

    def test_damaged_recordings_give_warnings(self):
        """A truncated recording is used, and every kind of response has a warning."""
        cut = SOUND[: len(SOUND) // 2]
        for name, in_header in (("json", False), ("verbose_json", False), ("text", True)):
            fields = [["model", MODEL], ["response_format", name], ["file", "SOUND"]]
            body, kind = form_of(fields)
            body = body.replace(SOUND, cut)
            asked = urllib.request.Request(self.server.address + "/v1/audio/transcriptions", body, {"content-type": kind})
            with urllib.request.urlopen(asked) as answer:
                warnings = json.loads(answer.headers["ualm-warnings"]) if in_header else json.load(answer)["warnings"]
            self.assertRegex(warnings[0], r"^file: ")
        part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(cut).decode(), "format": "wav"}}
        body = {"model": MODEL, "messages": [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}]}
        answer = json.loads(self.send({"path": "/v1/chat/completions", "body": body})[2])
        self.assertRegex(answer["ualm"]["warnings"][0], r"^messages\[0\]\.content\[0\]\.input_audio\.data: ")
        streamed = self.send({"path": "/v1/chat/completions", "body": {**body, "stream": True}})[2]
        self.assertIn(json.dumps(answer["ualm"]["warnings"][0], ensure_ascii=False).encode(), streamed)
        silence = {"model": MODEL, "input": "one", "ualm": {"max_steps": 1, "min_steps": 0}}
        _, headers, _ = self.send({"path": "/v1/audio/speech", "body": silence})
        self.assertIn("empty", json.loads(headers["ualm-warnings"])[0])


if __name__ == "__main__":
    unittest.main()
