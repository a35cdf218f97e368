"""The exported reference checkpoints against the answers of the trainer's code."""

import context  # noqa: F401, isort: skip
import unittest

from context import FIXTURES
from reference import Reference
from reply import Package, read_wav

TOLERANCE = 1e-4


class ReferenceTest(unittest.TestCase):
    def check(self, name: str):
        found = Reference(FIXTURES / "answers" / name, Package(FIXTURES / "packages" / f"{name}-fp32")).check()
        self.assertEqual(found.mismatches, [])
        self.assertGreater(len(found.errors), 10)
        for array, error in found.errors.items():
            with self.subTest(array=array):
                self.assertLess(error, TOLERANCE)

    def test_tiny_omni(self):
        self.check("tiny-omni")

    def test_tiny_afwhisper(self):
        self.check("tiny-afwhisper")

    def test_quantized_packages_answer_and_are_smaller(self):
        for name in ("tiny-omni", "tiny-afwhisper"):
            clip = read_wav(FIXTURES / "answers" / name / "a.wav")
            sizes = {}
            for precision in ("fp32", "int8", "int4"):
                folder = FIXTURES / "packages" / f"{name}-{precision}"
                package = Package(folder)
                self.assertEqual(package.manifest["precision"], precision)
                hidden = package.open_segment(package.branch(), package.features(clip))
                self.assertTrue(abs(package.logits("text", hidden)).max() > 0)
                # without the rotary tables, which are exact in all
                model = package.manifest["language_model"]
                tables = model["max_positions"] * model["state"][0]["head_size"] * 4
                sizes[precision] = (folder / "llm.onnx.data").stat().st_size - tables
            self.assertLess(sizes["int8"], 0.40 * sizes["fp32"])
            self.assertLess(sizes["int4"], 0.65 * sizes["int8"])


if __name__ == "__main__":
    unittest.main()
