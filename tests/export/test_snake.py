"""The snake activation."""

import context  # noqa: F401, isort: skip
import unittest

import numpy as np
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.blocks.snake import snake
from ualm_export.graph import FLOAT, GraphBuilder


class SnakeTest(TemporaryFolderTest):
    def test_snake_matches_float64(self):
        """Over the angles that occur the error is that of float32; far outside it is bounded, and nothing is NaN."""
        alpha = np.array([1e-3, 0.1, 1, 30], np.float32).reshape(1, 4, 1)
        graph = GraphBuilder(self.folder / "snake.onnx")
        x = graph.input("x", FLOAT, [1, 4, "samples"])
        graph.output("y", FLOAT, [1, 4, "samples"], snake(graph, x, alpha))
        session = onnxruntime.InferenceSession(graph.save())
        near = np.linspace(-8, 8, 20001)
        far = np.array([0, 1e-30, 1e3, -1e5, 3e7, -1e30])
        for values, bound in ((near, 3e-7), (far, 1.1)):
            x = np.tile(values.astype(np.float32), (1, 4, 1))
            angles = x.astype(np.float64) * alpha
            exact = x + np.sin(x.astype(np.float64) * alpha) ** 2 / alpha
            found = session.run(None, {"x": x})[0]
            self.assertTrue(np.isfinite(found).all())
            error = np.abs(found - exact) * alpha
            self.assertLess((error / (1 + np.abs(angles))).max(), bound)


if __name__ == "__main__":
    unittest.main()
