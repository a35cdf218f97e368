"""Heads that compute only their best candidates in 8 bits."""

import context  # noqa: F401, isort: skip
import json
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from context import FIXTURES, TemporaryFolderTest
from ualm_export import language_model
from ualm_export.blocks.shortlist import CANDIDATES, LEAST_COLUMNS
from ualm_export.graph import Storage
from ualm_export.language_model import Head
from ualm_export.options import Options
from ualm_export.package import export_package
from ualm_export.precision import storage_by_role

FEATURES = 96


class ShortlistTest(TemporaryFolderTest):
    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(1)
        self.weight = generator.standard_normal((LEAST_COLUMNS + 500, FEATURES)).astype(np.float32)
        self.hidden = generator.standard_normal((4, FEATURES)).astype(np.float32)

    def logits(self, storage: Storage, columns: int = LEAST_COLUMNS) -> np.ndarray:
        head = Head("matrix", len(self.weight), FEATURES, ((100, columns), (0, 100)))
        head.build(self.folder / "head.onnx", storage, {"matrix": _Tensor(self.weight)})
        return onnxruntime.InferenceSession(self.folder / "head.onnx").run(None, {"hidden_states": self.hidden})[0]

    def expected(self) -> np.ndarray:
        return self.hidden @ np.concatenate([self.weight[100:LEAST_COLUMNS], self.weight[:100]]).T

    def test_candidates_are_as_good_as_8_bits_and_the_others_as_4(self):
        storage = storage_by_role("int4")["text_head"]
        found = self.logits(storage)
        rough = self.logits(storage.shortlist)
        expected = self.expected()
        norm = np.sqrt(np.mean(expected**2))
        for row, plain, right in zip(found, rough, expected):
            best = np.argsort(-plain)[:CANDIDATES]
            others = np.setdiff1d(np.arange(len(row)), best)
            self.assertLess(np.abs(row[best] - right[best]).max() / norm, 0.05)
            np.testing.assert_array_equal(row[others], plain[others])
            self.assertGreater(np.abs(row[others] - right[others]).max() / norm, 0.2)
        np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))

    def test_small_heads_are_in_8_bits(self):
        storage = storage_by_role("int4")["text_head"]
        found = self.logits(storage, columns=1000)
        np.testing.assert_array_equal(found, self.logits(storage_by_role("int8")["text_head"], columns=1000))

    def test_other_precisions_have_no_shortlist(self):
        for precision in ("fp32", "fp16", "int8"):
            self.assertIsNone(storage_by_role(precision)["text_head"].shortlist)
        self.assertIsNone(storage_by_role("int4", heads="int8")["text_head"].shortlist)


@unittest.skipUnless(FIXTURES.is_dir(), "python3 tests/tools/fixtures.py writes the checkpoints")
class PackageTest(TemporaryFolderTest):
    def export(self, *targets: str) -> Path:
        with mock.patch.object(language_model, "LEAST_COLUMNS", 1000):
            return export_package(
                FIXTURES / "checkpoints" / "tiny-omni", self.folder / "-".join(targets), Options(precision="int4", targets=targets)
            )  # fmt: skip

    def test_a_package_with_a_shortlist_runs(self):
        out = self.export("cpu")
        self.assertIn("TopK", operators(out / "text_head.onnx"))
        session = onnxruntime.InferenceSession(out / "text_head.onnx")
        hidden = np.random.default_rng(0).standard_normal((2, session.get_inputs()[0].shape[1])).astype(np.float32)
        self.assertTrue(np.all(np.isfinite(session.run(None, {"hidden_states": hidden})[0])))

    def test_packages_for_gpus_have_none(self):
        """Their heads would have no float16 form, and partly run on the CPU."""
        out = self.export("cpu", "cuda", "webgpu")
        self.assertNotIn("TopK", operators(out / "text_head.onnx"))
        variants = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["variants"]
        for target in ("cuda", "webgpu"):
            self.assertIn("text_head", variants[target])


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


class _Tensor:
    def __init__(self, array: np.ndarray):
        self._array = array
        self.shape = array.shape

    def __getitem__(self, rows) -> np.ndarray:
        return self._array[rows]

    def part(self, start: int, stop: int) -> "_Tensor":
        return _Tensor(self._array[start:stop])


if __name__ == "__main__":
    unittest.main()
