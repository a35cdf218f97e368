"""The snake activation and the units of convolutions behind it, in both of their forms."""

import context  # noqa: F401, isort: skip
import unittest

import numpy as np
import onnx
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.blocks.conv import residual_unit, residual_unit_shapes
from ualm_export.blocks.snake import snake, snake_of_angle
from ualm_export.graph import FLOAT, GraphBuilder, Storage
from ualm_export.tensors import Prefixed

CHANNELS, KERNEL = 12, 7


class SnakeTest(TemporaryFolderTest):
    def test_both_forms_are_the_function_in_float64(self):
        """Over the angles that occur the error is that of float32, far outside it is bounded, and nothing is NaN."""
        alpha = np.array([1e-3, 0.1, 1, 30], np.float32).reshape(1, 4, 1)
        graph = GraphBuilder(self.folder / "snake.onnx")
        x = graph.input("x", FLOAT, [1, 4, "samples"])
        angle = graph.op("Mul", x, graph.constant(alpha))
        scaled = graph.op("Mul", snake_of_angle(graph, angle), graph.constant(1 / alpha))
        graph.output("plain", FLOAT, [1, 4, "samples"], snake(graph, x, alpha))
        graph.output("of_angle", FLOAT, [1, 4, "samples"], scaled)
        session = onnxruntime.InferenceSession(graph.save())
        near, far = np.linspace(-8, 8, 20001), np.array([0, 1e-30, 1e3, -1e5, 3e7, -1e30])
        for values, bound in ((near, 3e-7), (far, 1.1)):
            x = np.tile(values.astype(np.float32), (1, 4, 1))
            angles, exact = x.astype(np.float64) * alpha, x + np.sin(x.astype(np.float64) * alpha) ** 2 / alpha
            for found in session.run(None, {"x": x}):
                self.assertTrue(np.isfinite(found).all())
                error = np.abs(found - exact) * alpha
                self.assertLess((error / (1 + np.abs(angles))).max(), bound)


class ResidualUnitTest(TemporaryFolderTest):
    def test_rates_multiplied_into_the_weights_change_nothing_but_rounding(self):
        tensors = self.tensors(rates=(0.05, 5))
        for frames in (1, 40):
            x = np.random.default_rng(frames).standard_normal((2, CHANNELS, frames), np.float32)
            exact, folded = (self.run_unit(tensors, Storage(half=half), x) for half in (False, True))
            self.assertLess(np.abs(folded - exact).max() / np.abs(exact).max(), 1e-3)
        self.assertEqual(self.operators.count("Mul"), 3)

    def test_a_rate_of_nearly_zero_divides_no_weights(self):
        tensors = self.tensors(rates=(0.05, 5))
        tensors["unit.point_snake.alpha"][0, 3] = 0
        x = np.random.default_rng(0).standard_normal((2, CHANNELS, 40), np.float32)
        exact, found = (self.run_unit(tensors, Storage(half=half), x) for half in (False, True))
        self.assertLess(np.abs(found - exact).max() / np.abs(exact).max(), 1e-3)
        self.assertEqual(self.operators.count("Mul"), 6)

    def tensors(self, rates):
        random = np.random.default_rng(0)
        shapes = residual_unit_shapes("unit", CHANNELS, KERNEL)
        tensors = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
        for name in ("unit.wide_snake.alpha", "unit.point_snake.alpha"):
            tensors[name] = np.exp(random.uniform(*np.log(rates), tensors[name].shape)).astype(np.float32)
        tensors["unit.wide.weight"] /= np.sqrt(KERNEL * CHANNELS).astype(np.float32)
        return tensors

    def run_unit(self, tensors, storage, x):
        graph = GraphBuilder(self.folder / "unit.onnx", storage)
        value = graph.input("x", FLOAT, ["batch", CHANNELS, "frames"])
        y = residual_unit(graph, value, Prefixed(tensors, "unit."), KERNEL, dilation=3)
        graph.output("y", FLOAT, ["batch", CHANNELS, "frames"], y)
        path = graph.save()
        self.operators = [node.op_type for node in onnx.load(path).graph.node]
        return onnxruntime.InferenceSession(path).run(None, {"x": x})[0]


if __name__ == "__main__":
    unittest.main()
