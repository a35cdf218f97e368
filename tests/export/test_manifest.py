"""The form of the manifest, and the upgrade of packages of schema 1."""

import context  # noqa: F401, isort: skip
import hashlib
import json
import shutil
import unittest

from context import FIXTURES, ROOT, TemporaryFolderTest
from ualm_export.errors import ExportError
from ualm_export.families.ualm.schema1 import upgraded
from ualm_export.manifest import text_of
from ualm_export.manifest_form import check_manifest
from upgrade_manifest import upgrade_package

MANIFESTS = ROOT / "tests" / "data" / "manifests"


def read(schema: int) -> dict:
    return json.loads((MANIFESTS / f"schema{schema}.json").read_text(encoding="utf-8"))


def with_audio(former: dict, blocks: list) -> dict:
    """Returns `former` of schema 1 with other blocks of the streams."""
    return former | {"vocabulary": former["vocabulary"] | {"audio": blocks}}


class FormTest(unittest.TestCase):
    def test_the_manifest_of_a_fixture_equals_the_recorded_one(self):
        """Fails if the exporter's form changes: the runtime's tests read schema2.json."""
        written = json.loads((FIXTURES / "packages" / "tiny-omni-fp32" / "manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(written, read(2))

    def test_sections_of_a_model_with_eight_streams(self):
        manifest = read(2)
        self.assertEqual(
            manifest["tokens"],
            {"size": 9556, "width": 8, "pad": 0, "text": {"ids": [256, 1356], "zero_is_pad": True}},
        )
        blocks = [[1356 + 1025 * book, 1356 + 1025 * (book + 1)] for book in range(8)]
        self.assertEqual(manifest["heads"], {"text_head": [[0, 1356]], "audio_head": [*blocks, [2, 3], [3, 4]]})
        audio = manifest["modalities"]["audio"]
        self.assertEqual((audio["pattern"], audio["books"], audio["codec"]), ("delayed", blocks, "xcodec"))
        self.assertEqual(audio["ends"], {"turn": [2], "segment": [3]})
        self.assertNotIn("enhancer", audio)
        template = manifest["template"]
        self.assertEqual(
            template["tasks"]["text"]["turns"]["user"], {"open": [5], "join": [3, 5], "close": [2]}
        )
        self.assertEqual(template["content"]["speech"], {"open": [9], "feature": 0})
        self.assertEqual({name: segment["open"] for name, segment in template["segments"].items()},
                         {"text": [7], "audio": [8], "speech": [9]})  # fmt: skip
        self.assertEqual(manifest["codecs"]["xcodec"]["decoding"], {"kind": "windowed", "context_frames": 10, "indexed": False})
        self.assertEqual(manifest["audio_encoder"]["rows"], "of_signal")

    def test_lists_of_numbers_take_one_line(self):
        manifest = {"ids": [[1, 2], [-3, 4]], "text": "[\n  1,\n  2\n]", "empty": [], "names": ["a"]}
        text = text_of(manifest)
        self.assertEqual(json.loads(text), manifest)
        self.assertIn("    [1, 2],\n    [-3, 4]\n", text)

    def test_contradictions_are_refused(self):
        changes = {
            "tokens.pad": lambda m: m["tokens"].pop("pad"),
            "tokens.text.ids": lambda m: m["tokens"]["text"].update(ids=[256, 9557]),
            "heads.text_head": lambda m: m["graphs"].pop("text_head"),
            "modalities.audio.head": lambda m: m["modalities"]["audio"].update(head="music_head"),
            "no columns for": lambda m: m["heads"]["audio_head"].pop(3),
            "no column for the id 3": lambda m: m["heads"]["audio_head"].pop(),
            "modalities.speech.pattern": lambda m: m["modalities"]["speech"].update(pattern="flat"),
            "books in a position of 4": lambda m: m["tokens"].update(width=4),
            "modalities.audio.codec": lambda m: m["modalities"]["audio"].update(codec="encodec"),
            "the codec xcodec has": lambda m: m["codecs"]["xcodec"].update(codebook_size=1025),
            "modalities.text.enhancer": lambda m: m["modalities"]["text"].update(enhancer="enhancer"),
            "template.tasks.text.turns.user": lambda m: m["template"]["tasks"]["text"]["turns"]["user"].update(open=[9556]),
            "template.segments": lambda m: m["template"]["segments"].pop("speech"),
            "by_opener": lambda m: m["template"]["segments"]["speech"].update(open=[8]),
            "template.choice": lambda m: m["template"].update(choice="by_chance"),
            "template.unconditional": lambda m: m["template"].update(unconditional={"fill": -1}),
            "hidden_size": lambda m: m["language_model"].update(hidden_size=0),
            "rotary.size": lambda m: m["language_model"]["state"][0]["rotary"].update(size=17),
            "state.kind": lambda m: m["language_model"]["state"][0].update(kind="memory"),
            "graphs: 'codec_encoder'": lambda m: m["graphs"].pop("codec_encoder"),
            "no 'language_model'": lambda m: m.pop("language_model"),
        }
        for word, change in changes.items():
            with self.subTest(word=word):
                manifest = read(2)
                change(manifest)
                with self.assertRaises(ExportError) as raised:
                    check_manifest(manifest)
                self.assertIn(word, str(raised.exception))

    def test_manifests_of_other_families_are_valid(self):
        """Has one id a position without a pad, text pieces, a codec without an encoder, heads of scattered ids."""
        manifest = read(2)
        manifest["tokens"] = {"size": 9556, "width": 1, "text": {"ids": [0, 1356]}}
        books = [[2000 + 4 * book, 2004 + 4 * book] for book in range(4)]
        manifest["heads"]["audio_head"] = [[2000, 2016], [11, 12], [2, 3]]
        sound = {
            "pattern": "interleaved", "books": books, "head": "audio_head", "ends": {"turn": [2, 11]}, "codec": "flat",
            "cap": 4000, "strict": False, "generation": {},
        }  # fmt: skip
        manifest["modalities"] |= {"audio": sound, "speech": sound}
        manifest["codecs"]["flat"] = manifest["codecs"]["xcodec"] | {"books": 4, "codebook_size": 4}
        del manifest["codecs"]["flat"]["encoder"]
        task = manifest["template"]["tasks"]["text"]
        manifest["template"]["tasks"]["speech"] = task | {"begin": [10, "system\n"], "trim": True}
        manifest["template"] |= {"choice": "by_prompt", "unconditional": {"fill": 0}}
        manifest["template"]["segments"]["text"] = {"open": []}
        check_manifest(manifest)


class UpgradeTest(TemporaryFolderTest):
    def package(self, manifest: bytes | None = None):
        folder = shutil.copytree(FIXTURES / "packages" / "tiny-omni-fp32", self.folder / "package")
        (folder / "manifest.json").write_bytes(manifest or (MANIFESTS / "schema1.json").read_bytes())
        return folder

    def test_both_schemas_on_record_describe_the_same_package(self):
        expected = read(2)
        found = upgraded(read(1), "the checksum")
        self.assertEqual(found.pop("formerly"), ["the checksum"])
        self.assertEqual(found, expected)

    def test_optional_sections_and_fields_are_carried_over(self):
        former = read(1)
        former |= {
            "attribution": "somebody", "half_trained": True, "known_words": ["dog"], "reasoning": {"default": "reflect"},
            "enhancer": {"sampling_rate": 48000, "channels": 2}, "variants": {"cuda": {"llm": "llm.cuda.onnx"}},
        }  # fmt: skip
        former["graphs"]["enhancer"] = "enhancer.onnx"
        former["codec"] |= {"kind": "ualm_spectral", "indexed": True, "context_frames": 21}
        former["modalities"]["audio"]["generation"]["guidance"] = 2.5
        del former["modalities"]["speech"]
        found = upgraded(former, "x")
        for field in ("attribution", "half_trained", "known_words", "reasoning", "variants", "files", "prompts", "limits"):
            self.assertEqual(found[field], former[field])
        self.assertEqual(found["enhancers"]["enhancer"], {"graph": "enhancer", "sampling_rate": 48000, "channels": 2})
        decoding = {"kind": "windowed", "context_frames": 21, "indexed": True}
        self.assertEqual(found["codecs"]["ualm_spectral"]["decoding"], decoding)
        audio = found["modalities"]["audio"]
        self.assertEqual((audio["codec"], audio["enhancer"]), ("ualm_spectral", "enhancer"))
        self.assertEqual(audio["generation"]["guidance"], 2.5)
        self.assertEqual(set(found["modalities"]), {"text", "audio"})

    def test_the_manifest_alone_is_rewritten(self):
        package = self.package()
        others = {path.name: path.stat().st_mtime_ns for path in package.iterdir() if path.name != "manifest.json"}
        upgrade_package(package)
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        checksum = hashlib.sha256((MANIFESTS / "schema1.json").read_bytes()).hexdigest()
        self.assertEqual(manifest.pop("formerly"), [checksum])
        self.assertEqual(manifest, read(2))
        found = {path.name: path.stat().st_mtime_ns for path in package.iterdir() if path.name != "manifest.json"}
        self.assertEqual(found, others)

    def test_other_folders_are_refused_and_left_as_they_are(self):
        former = read(1)
        cases = {
            "schema is 2": json.dumps(read(2)),
            "not JSON": "{",
            "expected the fields": "[]",
            "not of schema 1": json.dumps({"schema": 1, "name": "x"}),
            "the manifest says": json.dumps(former | {"files": {"llm.onnx": {"size": 1, "sha256": ""}}}),
            "heads.audio_head": json.dumps(with_audio(former, [[1356, 99999]])),
        }
        for word, text in cases.items():
            with self.subTest(word=word):
                package = self.package(text.encode())
                with self.assertRaises(ExportError) as raised:
                    upgrade_package(package)
                self.assertIn(word, str(raised.exception))
                self.assertEqual((package / "manifest.json").read_bytes(), text.encode())
                self.assertEqual([path.name for path in package.iterdir() if path.name.startswith(".")], [])
                shutil.rmtree(package)
        with self.assertRaises(ExportError):
            upgrade_package(self.folder)


if __name__ == "__main__":
    unittest.main()
