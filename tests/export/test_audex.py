"""Audex packages against the reference implementation's answers, and their manifests."""

import context  # noqa: F401, isort: skip
import json
import unittest

import numpy as np
from context import FIXTURES
from flat_reference import FlatReference
from flat_reply import FlatPackage
from ualm_export.errors import ExportError
from ualm_export.manifest_form import check_manifest

ANSWERS = FIXTURES / "answers" / "tiny-audex"
TOLERANCE = 1e-4


def package(name: str) -> FlatPackage:
    return FlatPackage(FIXTURES / "packages" / f"tiny-audex-{name}")


class ReferenceTest(unittest.TestCase):
    def test_every_case_has_the_references_answer(self):
        """Compares prompts and null prompts, greedy tokens, codes, ends, draws; sound whole and in chunks."""
        found = FlatReference(ANSWERS, package("fp32")).check()
        self.assertEqual(found.mismatches, [])
        self.assertEqual(len(found.expected["cases"]), 15)
        self.assertGreater(len(found.errors), 70)
        for array, error in found.errors.items():
            with self.subTest(array=array):
                self.assertLess(error, TOLERANCE)

    def test_small_heads_have_the_logits_of_the_large_one_within_their_precision(self):
        whole = package("fp32")
        sliced = package("int8")
        hidden = np.random.default_rng(0).standard_normal(64, np.float32)
        expected = whole.logits("head", hidden)
        for head, columns in (("text_head", 760), ("speech_head", 1024 + 3), ("audio_head", 4 * 1024 + 1)):
            found = sliced.logits(head, hidden)
            there = ~np.isneginf(found)
            self.assertEqual(there.sum(), columns)
            self.assertLess(np.abs(found[there] - expected[there]).max(), 2e-2 * np.abs(expected).max())
        there = ~np.isneginf(whole.logits("audio_head", hidden))
        np.testing.assert_allclose(whole.logits("audio_head", hidden)[there], expected[there], rtol=1e-5, atol=1e-5)

    def test_quantized_packages_speak_and_make_sound(self):
        for precision in ("int8", "int4"):
            answers = package(precision)
            self.assertEqual(answers.manifest["precision"], precision)
            for modality, steps in (("speech", 12), ("audio", 13)):
                messages = [("user", ["Hello there."])]
                prompt = answers.prompt(modality, modality, messages)
                null = answers.null_prompt(modality, messages, len(prompt.ids))
                made = answers.generate(modality, prompt, null, steps, 1.5)
                codes = answers.codes(modality, made.tokens)
                self.assertGreater(codes.shape[1], 1)
                sound = answers.decode_speech(codes[0], 5) if modality == "speech" else answers.decode_audio(codes)
                self.assertEqual(len(sound), 320 * codes.shape[1])

    def test_speech_in_fewer_bits_stays_close(self):
        codes = np.load(ANSWERS / "speech_decoder.codes.npy")
        expected = np.load(ANSWERS / "speech_decoder.audio.npy")
        error = np.sqrt(np.square(package("int8").decode_speech(codes) - expected).mean() / np.square(expected).mean())
        self.assertLess(error, 5e-2)


class ManifestTest(unittest.TestCase):
    def setUp(self):
        self.manifest = package("fp32").manifest

    def test_ids_follow_the_names_of_the_tokens(self):
        self.assertEqual(self.manifest["tokens"], {"size": 10048, "width": 1, "text": {"ids": [0, 760]}})
        self.assertEqual(self.manifest["heads"], {"head": [[0, 10048]], "audio_head": [[1784, 5880], [757, 758]]})
        modalities = self.manifest["modalities"]
        self.assertEqual(list(modalities), ["thinking", "text", "audio", "speech"])
        self.assertEqual(modalities["thinking"]["ends"], {"turn": [11, 2], "segment": [13]})
        self.assertNotIn("generation", modalities["thinking"])
        self.assertEqual(modalities["text"]["ends"], {"turn": [11, 2]})
        self.assertEqual(modalities["speech"]["ends"], {"turn": [759, 2, 11]})
        self.assertEqual((modalities["audio"]["ends"], modalities["audio"]["cap"]), ({"turn": [757]}, 4000))
        self.assertEqual({name: m.get("strict", True) for name, m in modalities.items()},
                         {"thinking": False, "text": False, "audio": True, "speech": False})  # fmt: skip

    def test_heads_of_small_precisions_are_sliced(self):
        manifest = package("int8").manifest
        self.assertEqual(manifest["heads"]["text_head"], [[0, 760]])
        self.assertEqual(manifest["heads"]["speech_head"], [[760, 1784], [759, 760], [2, 3], [11, 12]])
        self.assertEqual({m.get("strict", True) for m in manifest["modalities"].values()}, {True})
        self.assertEqual(manifest["modalities"]["speech"]["head"], "speech_head")

    def test_codecs(self):
        codecs = self.manifest["codecs"]
        self.assertEqual((codecs["xcodec"]["books"], codecs["xcodec"]["most_frames"]), (4, 500))
        self.assertNotIn("encoder", codecs["xcodec"])
        expected = {
            "kind": "causal", "chunk": 5, "lookahead": 4, "max_frames": 8192,
            "state": {"layers": 3, "heads": 4, "head_size": 16},
        }  # fmt: skip
        self.assertEqual(codecs["speech"]["decoding"], expected)
        self.assertEqual(codecs["speech"]["codebook_size"], 1024)

    def test_template(self):
        template = self.manifest["template"]
        tasks = template["tasks"]
        self.assertEqual(list(tasks), ["text", "thinking", "listening", "cascade", "speech", "audio"])
        self.assertEqual(tasks["text"]["reply"], [10, "assistant\n", 12, 13])
        self.assertEqual(tasks["thinking"]["reply"], [10, "assistant\n"])
        self.assertEqual(template["segments"]["thinking"], {"open": [12, "\n"]})
        turn = {"open": [10, "assistant\n", 12, 13], "join": ["\n"], "close": [11, "\n"], "after": "</think>"}
        self.assertEqual(tasks["text"]["turns"]["assistant"], turn)
        self.assertEqual([tasks[name]["begin"] for name in tasks], [[], [], [], [1], [1], [1]])
        self.assertEqual([name for name in tasks if "system" in tasks[name]], ["text", "thinking", "speech", "audio"])
        self.assertTrue(tasks["listening"]["sound_first"])
        self.assertEqual(template["content"]["audio"], {"open": [30], "feature": 29, "close": [31]})
        self.assertEqual((template["thinks"], template["history"]), (True, "without_thinking"))
        self.assertEqual((template["choice"], template["unconditional"]), ("by_prompt", {"fill": 0}))

    def test_license_and_words(self):
        self.assertIn("OneWay Noncommercial", self.manifest["license"])
        self.assertEqual(self.manifest["prompts"]["transcribe"], "Transcribe the input speech.")
        self.assertEqual(set(self.manifest["settings"]), {"ask", "transcribe", "converse"})
        stages = self.manifest["reasoning"]["stages"]
        self.assertEqual(set(stages), {"question", "plan", "draft", "description", "critique", "final"})
        words = {name: "something" for name in ("words", "plan", "heard", "question", "answer", "description", "caption")}
        for prompt in stages.values():
            self.assertNotIn("{", prompt.format(**words))

    def test_without_xcodec_the_manifest_gives_the_reason_for_absent_audio(self):
        manifest = package("no-audio").manifest
        self.assertEqual(set(manifest["modalities"]), {"thinking", "text", "speech"})
        self.assertEqual(list(manifest["absent"]), ["audio"])
        self.assertIn("--xcodec", manifest["absent"]["audio"])
        self.assertNotIn("audio_head", manifest["graphs"])
        self.assertEqual(list(manifest["codecs"]), ["speech"])
        self.assertNotIn("audio", manifest["template"]["tasks"])

    def test_the_tokenizer_has_no_codec_symbols(self):
        folder = FIXTURES / "packages" / "tiny-audex-fp32"
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        names = [token["content"] for token in content["added_tokens"]] + list(content["model"]["vocab"])
        self.assertEqual([name for name in names if "codec_" in name], [])
        self.assertEqual(package("fp32").tokenizer.token_to_id("<speechgen_end>"), 759)

    def test_contradictions_are_refused(self):
        changes = {
            "'thinking' is not among": lambda m: m["modalities"].pop("thinking"),
            "after": lambda m: m["template"]["tasks"]["text"]["turns"]["assistant"].update(after=3),
            "merges": lambda m: m["template"]["tasks"]["text"].update(merges="no"),
            "template.tasks.singing": lambda m: m["template"]["tasks"].update(singing=m["template"]["tasks"]["text"]),
            "history": lambda m: m["template"].update(history="none"),
            "a reply that thinks": lambda m: m["template"]["tasks"]["thinking"].update(reply=["assistant\n"]),
            "absent.audio": lambda m: m.update(absent={"audio": "why"}),
            "settings.ask": lambda m: m["settings"]["ask"].update(topk=3),
            "settings": lambda m: m["settings"].update(sing={}),
            "stages": lambda m: m["reasoning"]["stages"].update(dream="…"),
            "lookahead": lambda m: m["codecs"]["speech"]["decoding"].update(lookahead=-1),
            "state.heads": lambda m: m["codecs"]["speech"]["decoding"]["state"].update(heads=0),
            "max_frames": lambda m: m["codecs"]["speech"]["decoding"].pop("max_frames"),
            "one codebook": lambda m: m["codecs"]["xcodec"].update(decoding=m["codecs"]["speech"]["decoding"]),
            "most_frames": lambda m: m["codecs"]["xcodec"].update(most_frames=0),
            "transcript": lambda m: m["prompts"].update(transcript=[{"before": 1, "after": ""}]),
        }  # fmt: skip
        for word, change in changes.items():
            with self.subTest(word=word):
                manifest = json.loads(json.dumps(self.manifest))
                check_manifest(manifest)
                change(manifest)
                with self.assertRaises(ExportError) as raised:
                    check_manifest(manifest)
                self.assertIn(word, str(raised.exception))


if __name__ == "__main__":
    unittest.main()
