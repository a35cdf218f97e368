"""The graph builder: location of tensors, shared constants, effects of the storage."""

import context  # noqa: F401, isort: skip
import unittest

import numpy as np
import onnx
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.graph import FLOAT, INT64, GraphBuilder, Storage


class GraphBuilderTest(TemporaryFolderTest):
    def test_large_tensors_are_in_a_separate_file_and_aligned(self):
        path = self.folder / "graph.onnx"
        large = np.random.default_rng(0).standard_normal((700, 500), np.float32)
        graph = GraphBuilder(path)
        x = graph.input("x", FLOAT, ["rows", 500])
        y = graph.linear(x, large[:30], np.ones(30, np.float32), rank=2)
        z = graph.linear(x, large, rank=2)
        graph.output("y", FLOAT, ["rows", 30], y)
        graph.output("z", FLOAT, ["rows", 700], z)
        graph.save()
        model = onnx.load(path, load_external_data=False)
        external = [tensor for tensor in model.graph.initializer if tensor.data_location]
        self.assertEqual(len(external), 2)
        for tensor in external:
            entry = {item.key: item.value for item in tensor.external_data}
            size = int(np.prod(tensor.dims)) * 4
            self.assertEqual((entry["location"], int(entry["length"])), ("graph.onnx.data", size))
            self.assertEqual(int(entry["offset"]) % (65536 if size >= 1 << 20 else 64), 0)
        rows = np.eye(500, dtype=np.float32)
        y, z = onnxruntime.InferenceSession(path).run(None, {"x": rows})
        np.testing.assert_allclose(y, large[:30].T + 1, rtol=1e-6)
        np.testing.assert_allclose(z, large.T, rtol=1e-6)

    def test_a_graph_of_small_tensors_is_one_file(self):
        graph = GraphBuilder(self.folder / "graph.onnx")
        graph.output("y", FLOAT, ["rows"], graph.add(graph.input("x", FLOAT, ["rows"]), graph.constant(1.0)))
        graph.save()
        self.assertEqual([path.name for path in self.folder.iterdir()], ["graph.onnx"])

    def test_equal_constants_are_stored_once(self):
        graph = GraphBuilder(self.folder / "graph.onnx")
        self.assertEqual(graph.constant([1, 2]), graph.constant([1, 2]))
        self.assertNotEqual(graph.constant([1, 2]), graph.constant([1.0, 2.0]))
        self.assertNotEqual(graph.constant([1]), graph.constant(1))

    def test_embedding_rows_are_widened_after_the_lookup(self):
        """The table stays float16 in memory."""
        path = self.folder / "graph.onnx"
        table = np.random.default_rng(0).standard_normal((50, 40), np.float32)
        graph = GraphBuilder(path, Storage(half=True))
        rows = graph.embedding(graph.input("ids", INT64, ["n"]), table)
        graph.output("rows", FLOAT, ["n", 40], rows)
        graph.save()
        self.assertEqual([node.op_type for node in onnx.load(path).graph.node], ["Gather", "Cast", "Identity"])
        (found,) = onnxruntime.InferenceSession(path).run(None, {"ids": np.array([7, 0])})
        np.testing.assert_array_equal(found, table[[7, 0]].astype(np.float16).astype(np.float32))

    def test_a_transposed_convolution_is_the_same_in_phases(self):
        """X-codec's strides, odd and even, with and without a bias, down to one frame; other kernels stay transposed convolutions."""
        random = np.random.default_rng(0)
        for stride, kernel, padding, output_padding, biased in (
            (8, 16, 4, 0, True), (5, 10, 3, 1, True), (2, 4, 1, 0, False), (3, 9, 0, 0, True), (4, 6, 1, 1, True), (2, 4, 0, 1, True),
        ):  # fmt: skip
            weight = random.standard_normal((6, 4, kernel)).astype(np.float16).astype(np.float32)
            bias = random.standard_normal(4, np.float32) if biased else None
            sessions = []
            operators = []
            for half in (False, True):
                path = self.folder / f"{half}.onnx"
                graph = GraphBuilder(path, Storage(half=half))
                x = graph.input("x", FLOAT, ["batch", 6, "frames"])
                y = graph.conv_transpose(
                    x, weight, bias, stride=stride, padding=padding, output_padding=output_padding
                )
                graph.output("y", FLOAT, ["batch", 4, "samples"], y)
                graph.save()
                sessions.append(onnxruntime.InferenceSession(path))
                operators.append({node.op_type for node in onnx.load(path).graph.node})
            in_phases = kernel % stride == 0 and output_padding <= padding
            self.assertEqual("ConvTranspose" in operators[1], not in_phases, (stride, kernel))
            self.assertIn("ConvTranspose", operators[0])
            for frames in (1, 2, 50):
                given = {"x": random.standard_normal((2, 6, frames), np.float32)}
                (expected,), (found,) = (session.run(None, given) for session in sessions)
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=f"{stride} {kernel} {frames}")


if __name__ == "__main__":
    unittest.main()
