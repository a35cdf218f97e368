"""Chains by prompt and spoken answers: `ualm serve` with a model whose prompts select the modality."""
import base64
import io
import json
import math
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from running import ROOT, Server  # noqa: E402

MODEL = "tiny-omni"


def package_by_prompt(folder):
    """Copies tiny-omni with prompts that select the modality, as `ualm_testing::package_by_prompt` does."""
    package = shutil.copytree(ROOT / "target" / "fixtures" / "packages" / "tiny-omni-fp32", folder / "package")
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["template"] |= {"choice": "by_prompt", "between": []}
    for modality, config in manifest["modalities"].items():
        config["ends"] = {"turn": [2]}
        config["generation"] |= {"max_steps": 12, "min_steps": 4 if modality == "text" else 10}
    (package / "manifest.json").write_text(json.dumps(manifest))
    return package


def recording():
    """Returns half a second of a tone, as a content part of a message."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1), out.setsampwidth(2), out.setframerate(16000)
        out.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 10))) for i in range(8000)))
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}, "modality": "speech"}


class ByPromptTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server(package=package_by_prompt(pathlib.Path(cls.folder.name)))

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.folder.cleanup()

    def post(self, content, **more):
        messages = [{"role": "system", "content": "Be kind."}] if more.pop("is_told", False) else []
        messages.append({"role": "user", "content": content})
        body = {"model": MODEL, "messages": messages, "modalities": ["text", "audio"], "seed": 3} | more
        body.setdefault("audio", {"format": "wav"})
        headers = {"Content-Type": "application/json"}
        address = self.server.address + "/v1/chat/completions"
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers)) as answer:
            return answer.read().decode()

    def whole(self, content, **more):
        return json.loads(self.post(content, **more))

    def streamed(self, content, **more):
        lines = self.post(content, stream=True, audio={"format": "pcm16"}, **more).splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    def refused(self, content, **more):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.post(content, **more)
        with caught.exception as answer:
            return answer.code, json.loads(answer.read())["error"]

    def test_a_spoken_question_gets_a_spoken_answer(self):
        answer = self.whole([recording()], is_told=True, ualm={"record": True})
        message = answer["choices"][0]["message"]
        self.assertTrue(message["content"].strip())
        self.assertEqual(message["audio"]["transcript"], message["content"])
        self.assertEqual([part["modality"] for part in message["segments"]], ["text", "speech"])
        self.assertEqual(len(answer["ualm"]["heard"]), 1)
        self.assertEqual(len(message["record"]["turns"]), 1, "the record is of the speech")
        # with text instead of the recording, nothing is transcribed
        again = self.whole(answer["ualm"]["heard"][0], is_told=True)
        self.assertNotIn("heard", again["ualm"])
        self.assertEqual(again["choices"][0]["message"]["content"], message["content"])
        self.assertEqual(self.refused([recording()], n=2), (400, {
            "message": "a spoken conversation has one reply: leave n out", "type": "invalid_request_error",
            "param": "n", "code": "invalid"}))  # fmt: skip

    def test_a_spoken_answer_is_streamed_alike(self):
        whole = self.whole([recording()])
        chunks = self.streamed([recording()])
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        text = "".join(delta.get("content", "") for delta in deltas)
        self.assertEqual(text, whole["choices"][0]["message"]["content"])
        sounds = [delta["audio"] for delta in deltas if "audio" in delta]
        self.assertEqual(sounds[0]["transcript"], text.strip())
        self.assertTrue(all(sound["data"] for sound in sounds[1:]) and len(sounds) > 1)
        self.assertEqual(chunks[-1]["ualm"]["heard"], whole["ualm"]["heard"])
        heard = [chunk["ualm"]["heard"] for chunk in chunks[:-1] if "heard" in chunk.get("ualm", {})]
        self.assertEqual(heard, whole["ualm"]["heard"])

    def test_a_chain_goes_on_and_tells_what_it_costs(self):
        way = {"mode": "reflect", "prompts": {"plan": "Say {words}."}}
        deltas = [chunk["choices"][0]["delta"] for chunk in self.streamed("rain", ualm={"reasoning": way}) if chunk["choices"]]
        begun = [delta["segment"] for delta in deltas if "modality" in delta.get("segment", {})]
        self.assertEqual([part["stage"] for part in begun], ["plan", "draft", "description", "critique", "final"])
        self.assertEqual({part["cost"]["steps"] for part in begun}, {12})
        self.assertIsNone(begun[0]["cost"]["seconds"])
        self.assertTrue(all(part["cost"]["seconds"] > 0 for part in begun[1:]))

        whole = self.whole("rain", ualm={"reasoning": way, "record": True})["choices"][0]["message"]
        self.assertEqual(whole["record"]["turns"][0]["messages"][0]["text"], "Say rain.")
        on = {"from": {"record": whole["record"], "segment": 4}}
        again = self.whole("", messages=[], ualm=on)["choices"][0]["message"]
        self.assertEqual([part["number"] for part in again["segments"]], [4, 5])
        self.assertEqual(again["segments"][0]["text"], whole["segments"][3]["text"])
        code, error = self.refused("rain", ualm={"reasoning": {"prompts": {"plan": "{wrods}"}}})
        self.assertEqual((code, error["param"]), (400, "ualm.reasoning.prompts"))
        # an empty text of the model is a failure that the client gets
        code, error = self.refused("rain", ualm={"reasoning": {"prompts": {"plan": "{words}"}}, "text": {"min_steps": 0}})
        self.assertEqual((code, error["code"]), (500, "numeric"))
        self.assertTrue(error["message"].startswith("the plan has no text"), error)


if __name__ == "__main__":
    unittest.main()
