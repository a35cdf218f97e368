"""OpenAI's official client with `ualm serve` and the default package: every endpoint, whole and streamed.

Run by `make test-server`.
"""
import array
import base64
import io
import json
import pathlib
import sys
import tempfile
import unittest
import wave

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from running import Server  # noqa: E402

MODEL = "ualm-small-world"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def samples(wav):
    """Returns the samples of a WAV file and their rate."""
    with wave.open(io.BytesIO(wav)) as file:
        return file.readframes(file.getnframes()), file.getframerate()


class OpenAITest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.client = openai.OpenAI(base_url=cls.server.address + "/v1", api_key="none is needed", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()

    def speech(self, text="seven three", **more):
        return self.client.audio.speech.create(model=MODEL, voice="default", input=text, **more)

    def chat(self, content, **more):
        return self.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], **more)

    def refused(self, ask, param, kind=openai.BadRequestError):
        with self.assertRaises(kind) as caught:
            ask()
        self.assertEqual(caught.exception.param, param)
        return caught.exception

    def assert_same_sound(self, streamed, whole):
        """Allows a difference in the last bit, since streamed sound is decoded in chunks."""
        streamed = array.array("h", streamed)
        whole = array.array("h", whole)
        self.assertEqual(len(streamed), len(whole))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(streamed, whole)), 1)

    def test_models(self):
        model = next(iter(self.client.models.list()))
        self.assertEqual((model.id, model.owned_by), (MODEL, "ualm"))
        self.assertIn("reflect", model.ualm["reasoning"]["modes"])
        self.assertEqual(self.client.models.retrieve(MODEL).id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-4")

    def test_speech_is_transcribed(self):
        wav = self.speech(response_format="wav").read()
        self.assertEqual(samples(wav)[1], 16000)
        said = self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", wav)).text
        # the accuracy of the package is tested in tests/library/default_package.rs
        self.assertRegex(said, f"^({'|'.join(DIGITS)})( ({'|'.join(DIGITS)}))*$")
        text = self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", wav), response_format="text")
        self.assertEqual(text.strip(), said)
        verbose = self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", wav), response_format="verbose_json")
        self.assertEqual((verbose.text, verbose.segments[0].end), (said, verbose.duration))
        events = list(self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", wav), stream=True))
        self.assertEqual("".join(event.delta for event in events[:-1]), said)
        self.assertEqual((events[-1].type, events[-1].text), ("transcript.text.done", said))

    def test_speech_in_every_format(self):
        again = {"extra_body": {"ualm": {"seed": 1, "sample_rate": 16000}}}
        wav, rate = samples(self.speech(response_format="wav", **again).read())
        pcm = self.speech(response_format="pcm", **again).read()
        self.assertEqual(rate, 16000)
        self.assert_same_sound(pcm, wav)
        self.assertEqual(self.speech(response_format="flac", **again).read()[:4], b"fLaC")
        said = self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", self.speech(**again).read())).text
        mp3 = self.speech(response_format="mp3", **again)
        self.assertEqual(mp3.response.headers["content-type"], "audio/mpeg")
        self.assertEqual(self.client.audio.transcriptions.create(model=MODEL, file=("a.mp3", mp3.read())).text, said)
        opus = self.speech(response_format="opus", **again)
        self.assertEqual((opus.response.headers["content-type"], opus.read()[:4]), ("audio/ogg;codecs=opus", b"OggS"))
        with self.client.audio.speech.with_streaming_response.create(
            model=MODEL, voice="default", input="seven three", response_format="pcm", **again
        ) as streamed:
            self.assertEqual(streamed.headers["content-type"], "audio/pcm;rate=16000;channels=1")
            self.assert_same_sound(b"".join(streamed.iter_bytes()), wav)
        with self.client.audio.speech.with_streaming_response.create(
            model=MODEL, voice="default", input="seven three", response_format="pcm", stream_format="sse", **again
        ) as streamed:
            events = [json.loads(line[6:]) for line in streamed.iter_lines() if line.startswith("data: ")]
        self.assert_same_sound(b"".join(base64.b64decode(event["audio"]) for event in events[:-1]), wav)
        self.assertEqual(events[-1]["type"], "speech.audio.done")

    def test_a_caption_becomes_sound_and_is_heard(self):
        own = {"modality": "audio", "temperature": 0}
        dog = self.speech("a dog barking", response_format="wav", extra_body={"ualm": own}).read()
        data = base64.b64encode(dog).decode()
        answer = self.chat([
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
            {"type": "text", "text": "What sound is this?"},
        ])
        self.assertIn("dog", answer.choices[0].message.content.lower())
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.prompt_tokens, answer.usage.completion_tokens)

    def test_a_text_is_streamed(self):
        question = "Plan, then make: rain"
        whole = self.chat(question, temperature=0).choices[0].message.content
        chunks = list(self.chat(question, temperature=0, stream=True, stream_options={"include_usage": True}))
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        self.assertEqual("".join(delta.content or "" for delta in deltas), whole)
        self.assertGreater(chunks[-1].usage.completion_tokens, 1)

    def test_a_chain_is_the_same_whole_and_streamed(self):
        ask = {"modalities": ["text", "audio"], "seed": 4, "extra_body": {"ualm": {"record": True, "take": False, "sample_rate": 16000}}}
        whole = self.chat("a dog, then rain", audio={"format": "wav", "voice": "default"}, **ask)
        message = whole.choices[0].message
        self.assertEqual([segment["stage"] for segment in message.segments], ["plan", "draft", "critique", "final"])
        self.assertEqual(message.audio.data, message.segments[3]["audio"]["data"])
        self.assertIn("dog", " ".join(message.segments[0]["plan"]["keywords"]))
        texts = {}
        sounds = {}
        ended = []
        for chunk in self.chat("a dog, then rain", audio={"format": "pcm16", "voice": "default"}, stream=True, **ask):
            for choice in chunk.choices:
                delta = choice.delta
                number = getattr(delta, "segment", {}).get("number")
                if delta.audio:
                    sounds[number] = sounds.get(number, b"") + base64.b64decode(delta.audio.data)
                elif delta.content:
                    texts[number] = texts.get(number, "") + delta.content
                ended += getattr(delta, "segments", [])
        self.assertEqual(len(ended), 4)
        for segment in message.segments:
            number = segment["number"]
            if segment["modality"] == "text":
                self.assertEqual(texts[number], segment["text"])
            else:
                self.assert_same_sound(sounds[number], samples(base64.b64decode(segment["audio"]["data"]))[0])

        record = {"record": message.record, "segment": 4}
        again = self.chat_on({"from": record, "take": False, "sample_rate": 16000})
        self.assertEqual(again.choices[0].message.audio.data, message.audio.data)
        other = self.chat_on({"from": record, "take": False, "audio": {"temperature": 2.0, "guidance": 1.0}}, seed=5)
        self.assertEqual([segment["number"] for segment in other.choices[0].message.segments], [4])
        self.assertNotEqual(other.choices[0].message.audio.data, message.audio.data)

    def chat_on(self, own, messages=(), **more):
        return self.client.chat.completions.create(
            model=MODEL, messages=list(messages), modalities=["text", "audio"], audio={"format": "wav", "voice": "default"},
            extra_body={"ualm": own}, **more,
        )

    def test_a_dialogue_continues_with_the_answer(self):
        own = {"reasoning": {"mode": "dialogue"}, "record": True}
        asked = self.chat("a bell", seed=1, modalities=["text", "audio"], audio={"format": "wav", "voice": "default"}, extra_body={"ualm": own})
        message = asked.choices[0].message
        self.assertEqual([segment["stage"] for segment in message.segments], ["question"])
        self.assertIsNone(message.audio)
        answer = [{"role": "user", "content": "a church bell"}]
        made = self.chat_on({"from": {"record": message.record, "segment": 2}}, answer).choices[0].message
        self.assertEqual([(s["number"], s["stage"]) for s in made.segments], [(3, "plan"), (4, "final")])

    def test_takes_are_ranked_and_share_their_plan(self):
        own = {"reasoning": {"mode": "enrich", "plan": {"keywords": ["rain"], "layout": [], "description": "Rain falls."}}, "best": True}
        answer = self.chat("rain", n=2, seed=7, audio={"format": "flac", "voice": "default"}, extra_body={"ualm": own})
        self.assertEqual(len(answer.choices), 2)
        first, second = (choice.message.segments for choice in answer.choices)
        self.assertEqual(first[0], second[0])
        self.assertEqual((first[1]["seed"], second[1]["seed"]), (7, 8))
        self.assertEqual(sorted(ranked["take"] for ranked in answer.ualm["ranking"]), [0, 1])

    def test_parallel_takes_are_the_same_as_single_ones(self):
        ask = {"modalities": ["audio"], "extra_body": {"ualm": {"take": False, "sample_rate": 16000, "audio": {"max_steps": 80}}}}
        wav, pcm = ({"format": name, "voice": "default"} for name in ("wav", "pcm16"))
        together = self.chat("a dog barking", n=3, seed=5, audio=wav, **ask).choices
        self.assertEqual([choice.index for choice in together], [0, 1, 2])
        sounds = {choice.index: samples(base64.b64decode(choice.message.audio.data))[0] for choice in together}
        alone = self.chat("a dog barking", seed=6, audio=wav, **ask).choices[0].message.audio.data
        self.assertEqual(sounds[1], samples(base64.b64decode(alone))[0])
        streamed = {}
        for chunk in self.chat("a dog barking", n=3, seed=5, audio=pcm, stream=True, **ask):
            for choice in chunk.choices:
                if choice.delta.audio:
                    streamed[choice.index] = streamed.get(choice.index, b"") + base64.b64decode(choice.delta.audio.data)
        self.assertEqual(sorted(streamed), [0, 1, 2])
        for take, sound in sounds.items():
            self.assert_same_sound(streamed[take], sound)

    def test_unsupported_fields_are_named(self):
        self.refused(lambda: self.chat("a", tools=[{"type": "function", "function": {"name": "f"}}]), "tools")
        self.refused(lambda: self.chat("a", logprobs=True), "logprobs")
        self.refused(lambda: self.chat("a", stop=["b"]), "stop")
        self.refused(lambda: self.speech(speed=2.0), "speed")
        self.refused(lambda: self.speech(response_format="aac"), "response_format")
        self.refused(lambda: self.client.audio.speech.create(model=MODEL, voice="alloy", input="one"), "voice")
        self.refused(lambda: self.chat("a", modalities=["text", "audio"]), "audio")
        self.refused(lambda: self.chat("a", n=99), "n")
        transcribe = lambda **more: self.client.audio.transcriptions.create(model=MODEL, file=("a.wav", b"RIFF"), **more)  # noqa: E731
        self.refused(lambda: transcribe(language="de"), "language")
        self.refused(lambda: transcribe(response_format="srt"), "response_format")
        self.refused(lambda: self.client.audio.translations.create(model=MODEL, file=("a.wav", b"RIFF")), "model")
        self.assertEqual(self.refused(transcribe, "file").code, "audio")
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}])
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model=MODEL, input="a")

    def test_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys.txt"
            keys.write_bytes(b"\xef\xbb\xbfopen-sesame\r\n# for the test\r\n")  # as an editor of Windows writes it
            with Server("--api-keys", keys) as server:
                client = lambda key: openai.OpenAI(base_url=server.address + "/v1", api_key=key, max_retries=0)  # noqa: E731
                self.assertEqual(client("open-sesame").models.list().data[0].id, MODEL)
                with self.assertRaises(openai.AuthenticationError):
                    client("sesame").models.list()


if __name__ == "__main__":
    unittest.main()
