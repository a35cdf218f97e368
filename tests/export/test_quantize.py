"""Block quantization: bounds of the round trip, and agreement with ONNX Runtime's MatMulNBits."""

import context  # noqa: F401, isort: skip
import unittest

import numpy as np
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.graph import FLOAT, GraphBuilder, Storage
from ualm_export.quantize import BLOCK, blocks_of, dequantize_rows, quantize_rows


def weight(rows: int, features: int) -> np.ndarray:
    return np.random.default_rng(features).standard_normal((rows, features), np.float32)


class RoundTripTest(unittest.TestCase):
    def test_error_is_at_most_one_step(self):
        for bits in (4, 8):
            for features in (32, 96, 56, 80):
                original = weight(9, features)
                restored = dequantize_rows(quantize_rows(original, bits), features, bits)
                padded = np.zeros((9, blocks_of(features) * BLOCK), np.float32)
                padded[:, :features] = original
                largest = np.abs(padded.reshape(9, -1, BLOCK)).max(-1)
                step = np.repeat(largest / (1 << (bits - 1)), BLOCK, axis=1)[:, :features]
                # the end of the range opposite to the extreme is one step short
                self.assertLessEqual(float((np.abs(restored - original) / step).max()), 1.0 + 1e-5)

    def test_extremes_and_zeros_are_exact(self):
        original = np.zeros((2, 32), np.float32)
        original[0, 3], original[1, 5] = 0.75, -0.5
        for bits in (4, 8):
            restored = dequantize_rows(quantize_rows(original, bits), 32, bits)
            np.testing.assert_array_equal(restored, original)


class MatMulNBitsTest(TemporaryFolderTest):
    def test_the_graph_multiplies_by_the_dequantized_weight(self):
        """Also with features that do not fill the last block. Activations are rounded too: hence 2 %."""
        for bits in (4, 8):
            for features in (64, 80, 56):
                original = weight(24, features)
                x = np.random.default_rng(1).standard_normal((5, features)).astype(np.float32)
                path = self.folder / f"linear-{bits}-{features}.onnx"
                graph = GraphBuilder(path, Storage(bits=bits))
                y = graph.linear(graph.input("x", FLOAT, ["rows", features]), original, rank=2)
                graph.output("y", FLOAT, ["rows", 24], y)
                graph.save()
                (found,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
                expected = x @ dequantize_rows(quantize_rows(original, bits), features, bits).T
                self.assertLess(np.abs(found - expected).max() / np.abs(expected).max(), 0.02)


class HalfTest(TemporaryFolderTest):
    def test_weights_that_float16_cannot_hold_stay_float32(self):
        for scale, exact in ((1e6, True), (1e-7, True), (1.0, False)):
            path = self.folder / f"half-{scale}.onnx"
            original = weight(40, 32) * np.float32(scale)
            graph = GraphBuilder(path, Storage(half=True))
            y = graph.linear(graph.input("x", FLOAT, ["rows", 32]), original, rank=2)
            graph.output("y", FLOAT, ["rows", 40], y)
            graph.save()
            (found,) = onnxruntime.InferenceSession(path).run(None, {"x": np.eye(32, dtype=np.float32)})
            error = np.abs(found.T - original).max() / np.abs(original).max()
            self.assertLess(error, 1e-6 if exact else 5e-4)
            size = (path.parent / (path.name + ".data")).stat().st_size
            self.assertEqual(size, original.size * (4 if exact else 2))


if __name__ == "__main__":
    unittest.main()
