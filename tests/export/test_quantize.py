"""Block quantization: bounds of the round trip, benefit of calibration, and agreement with ONNX Runtime's MatMulNBits."""

import context  # noqa: F401, isort: skip
import itertools
import unittest

import numpy as np
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.error_feedback import ErrorFeedback
from ualm_export.errors import ExportError
from ualm_export.graph import FLOAT, GraphBuilder, Storage
from ualm_export.quantize import dequantize_rows, extreme_scales, fitting_block, in_blocks, quantize_rows, rounded, scales_of

BLOCKS = (32, 64, 128)


def weight(rows: int, features: int) -> np.ndarray:
    return np.random.default_rng(features).standard_normal((rows, features), np.float32)


class RoundTripTest(unittest.TestCase):
    def test_error_of_8_bits_is_at_most_one_step(self):
        for block in BLOCKS:
            for features in (32, 96, 56, 80, 300):
                original = weight(9, features)
                restored = dequantize_rows(quantize_rows(original, 8, block), features, 8)
                largest = np.abs(in_blocks(original, block)).max(-1)
                step = np.repeat(largest / 128, block, axis=1)[:, :features]
                # the end of the range opposite to the extreme is one step short
                self.assertLessEqual(float((np.abs(restored - original) / step).max()), 1.0 + 1e-5)

    def test_scales_of_4_bits_lose_less_than_those_of_the_extremes(self):
        for block in BLOCKS:
            for features in (128, 300):
                blocks = in_blocks(weight(40, features), block)
                scales = extreme_scales(blocks, 4)
                errors = [np.square(blocks - rounded(blocks, s[..., None], 4) * s[..., None]).sum(-1) for s in (scales, scales_of(blocks, 4))]
                self.assertTrue(np.all(errors[1] <= errors[0] * (1 + 1e-5)))
                self.assertLess(errors[1].sum(), 0.95 * errors[0].sum())

    def test_single_values_and_zeros_are_exact(self):
        original = np.zeros((2, 160), np.float32)
        original[0, 3] = 0.75
        original[1, 5] = -0.5
        original[1, 150] = 3.0
        for bits in (4, 8):
            for block in BLOCKS:
                restored = dequantize_rows(quantize_rows(original, bits, block), 160, bits)
                np.testing.assert_allclose(restored, original, rtol=1e-6)

    def test_weights_that_are_not_finite_are_refused(self):
        """Integers would be finite, and wrong."""
        for wrong in (np.nan, np.inf, -np.inf):
            damaged = weight(4, 64)
            damaged[2, 5] = wrong
            for bits in (4, 8):
                with self.assertRaisesRegex(ExportError, "not finite"):
                    quantize_rows(damaged, bits)
                with self.assertRaisesRegex(ExportError, "not finite"):
                    ErrorFeedback(np.eye(64, dtype=np.float32)).quantize_rows(damaged, bits, 32)

    def test_fitting_blocks_add_no_more_zeros_than_the_smallest(self):
        for features, block in ((64, 64), (80, 32), (96, 32), (100, 128), (128, 128), (192, 64), (896, 128), (4864, 128)):
            self.assertEqual(fitting_block(features, 128), block)
            self.assertEqual(fitting_block(features, 32), 32)

    def test_features_past_the_last_are_zeros_in_the_last_block(self):
        original = weight(6, 150)
        whole = quantize_rows(np.pad(original, ((0, 0), (0, 106))), 4, 128)
        cut = quantize_rows(original, 4, 128)
        np.testing.assert_array_equal(whole.values, cut.values)
        np.testing.assert_array_equal(whole.scales, cut.scales)


class ErrorFeedbackTest(unittest.TestCase):
    def output_error(self, inputs: np.ndarray, original: np.ndarray, quantized) -> float:
        restored = dequantize_rows(quantized, original.shape[1], 4)
        return float(np.linalg.norm(inputs @ (restored - original).T) / np.linalg.norm(inputs @ original.T))

    def test_error_feedback_beats_rounding_for_correlated_inputs(self):
        generator = np.random.default_rng(5)
        for features in (64, 150, 320):
            mixed = generator.standard_normal((features // 4, features)) * np.linspace(0.2, 3, features)
            seen, unseen = (
                (generator.standard_normal((2000, features // 4)) @ mixed + 0.1 * generator.standard_normal((2000, features)))
                .astype(np.float32) for _ in range(2)
            )  # fmt: skip
            original = weight(48, features)
            feedback = ErrorFeedback(seen.T @ seen / len(seen))
            for block in BLOCKS:
                plain = self.output_error(unseen, original, quantize_rows(original, 4, block))
                fed = self.output_error(unseen, original, feedback.quantize_rows(original, 4, block))
                self.assertLess(fed, 0.7 * plain)

    def test_error_feedback_equals_rounding_for_uncorrelated_inputs(self):
        original = weight(20, 150)
        moments = np.diag(np.random.default_rng(3).uniform(0.1, 2, 150)).astype(np.float32)
        plain = quantize_rows(original, 4, 128)
        fed = ErrorFeedback(moments).quantize_rows(original, 4, 128)
        np.testing.assert_array_equal(plain.values, fed.values)
        np.testing.assert_array_equal(plain.scales, fed.scales)

    def test_inputs_without_finite_squares_are_refused(self):
        with self.assertRaisesRegex(ExportError, "not finite.*--no-calibration"):
            ErrorFeedback(np.full((4, 4), np.inf, np.float32))

    def test_features_without_inputs_are_rounded(self):
        """Layers may also have no inputs at all, or fewer inputs than features."""
        original = weight(12, 96)
        x = np.random.default_rng(4).standard_normal((10, 96)).astype(np.float32)
        x[:, 40:60] = 0
        plain = quantize_rows(original, 4, 32)
        for moments in (x.T @ x, np.zeros((96, 96), np.float32)):
            fed = dequantize_rows(ErrorFeedback(moments).quantize_rows(original, 4, 32), 96, 4)
            np.testing.assert_array_equal(fed[:, 40:60], dequantize_rows(plain, 96, 4)[:, 40:60])
            self.assertTrue(np.all(np.isfinite(fed)))


class MatMulNBitsTest(TemporaryFolderTest):
    def test_the_graph_multiplies_by_the_dequantized_weight(self):
        """Includes features that do not fill the last block. Activations are rounded too: hence 2 %."""
        for bits, block, features in itertools.product((4, 8), BLOCKS, (64, 80, 56, 200)):
            with self.subTest(bits=bits, block=block, features=features):
                original = weight(24, features)
                x = np.random.default_rng(1).standard_normal((5, features)).astype(np.float32)
                path = self.folder / f"linear-{bits}-{block}-{features}.onnx"
                graph = GraphBuilder(path, Storage(bits=bits, block=block))
                y = graph.linear(graph.input("x", FLOAT, ["rows", features]), original, rank=2)
                graph.output("y", FLOAT, ["rows", 24], y)
                graph.save()
                block = fitting_block(features, block)
                (found,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
                expected = x @ dequantize_rows(quantize_rows(original, bits, block), features, bits).T
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
