"""Products by rows: agreement with numpy, shared inputs, rows that are one-sided, zero or infinite, and the files of the forms.

Sessions are configured so that signed bytes do not overflow: the numbers are the same on processors without VNNI.
"""

import context  # noqa: F401, isort: skip
import json
import unittest
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
from compare import Package, compare, features_apart, session_of
from context import FIXTURES, TemporaryFolderTest
from ualm_export.errors import ExportError
from ualm_export.graph import FLOAT, GraphBuilder
from ualm_export.options import Options
from ualm_export.package import export_package
from ualm_export.precision import BY_ROWS
from ualm_export.quantize import quantize_columns, quantize_rows
from ualm_export.row_products import SHIFT

OUTPUTS = 72
FEATURES = 160


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def product(x: np.ndarray, weight: np.ndarray, zero: int, floor: float = 1e-30) -> np.ndarray:
    """Computes the graph's result in float64."""
    values, scales = quantize_columns(weight, quantize_rows)
    steps = 255 - zero
    magnitudes = np.maximum((np.abs(x) if zero == 128 else x).max(-1, keepdims=True), floor)
    rounded = np.clip(np.rint(x / magnitudes * np.float32(steps)) + zero, 0, 255) - zero
    return rounded.astype(np.float64) @ (values * scales.astype(np.float64)) / steps * magnitudes


class ProductTest(TemporaryFolderTest):
    def build(self, *least: float | None) -> onnxruntime.InferenceSession:
        """Builds a graph of linear layers that read one input, each with its lower bound."""
        graph = GraphBuilder(self.folder / "graph.onnx", BY_ROWS)
        x = graph.input("x", FLOAT, ["batch", "rows", FEATURES])
        for i, known in enumerate(least):
            y = graph.linear(x, random(OUTPUTS, FEATURES, seed=i), random(OUTPUTS, seed=9), name=f"layer.{i}", least=known)
            graph.output(f"y.{i}", FLOAT, ["batch", "rows", OUTPUTS], y)
        return session_of(graph.save())

    def check(self, x: np.ndarray, least: float | None, expected: np.ndarray, bound: float):
        """Checks that the graph equals `product`, except where a half is rounded the other way, and is as near to the exact product."""
        (found,) = self.build(least).run(None, {"x": x})
        weight = random(OUTPUTS, FEATURES)
        bias = random(OUTPUTS, seed=9)
        step = np.abs(expected).max()
        self.assertLess(np.abs(found - bias - expected).max(), 1e-2 * step)
        self.assertLess(np.linalg.norm(found - bias - expected), 1e-3 * np.linalg.norm(expected))
        exact = x @ weight.T
        self.assertLess(np.linalg.norm(found - bias - exact), bound * np.linalg.norm(exact))

    def test_rows_of_both_signs(self):
        x = random(2, 5, FEATURES, seed=3)
        x[0, 1] *= 1000
        x[1, 2] *= 1e-3
        weight = random(OUTPUTS, FEATURES)
        self.check(x[:1], None, product(x[:1], weight, 128), 0.02)
        for row in x.reshape(-1, 1, 1, FEATURES):
            self.check(row, None, product(row, weight, 128), 0.02)

    def test_rows_that_reach_a_little_below_zero_have_more_steps(self):
        x = np.maximum(random(1, 6, FEATURES, seed=3) * 2, -0.17)
        x[0, 1] = -0.17 * (x[0, 1] < 0)
        floor = 0.17 * (255 - SHIFT) / SHIFT
        self.check(x, -0.17, product(x, random(OUTPUTS, FEATURES), SHIFT, floor), 0.02)

    def test_rows_without_negative_numbers_have_all_steps(self):
        x = np.square(np.maximum(random(1, 6, FEATURES, seed=3), 0))
        self.check(x, 0.0, product(x, random(OUTPUTS, FEATURES), 0), 0.01)

    def test_rows_of_zeros_give_the_bias_and_infinite_ones_nothing_finite(self):
        """A row that contains NaN has finite results, as with `MatMulNBits`; the sum of the residual keeps the NaN."""
        x = np.zeros((1, 2, FEATURES), np.float32)
        x[0, 1, 5] = np.inf
        for least in (None, 0.0, -0.17):
            (found,) = self.build(least).run(None, {"x": x})
            np.testing.assert_array_equal(found[0, 0], random(OUTPUTS, seed=9))
            self.assertFalse(np.isfinite(found[0, 1:]).any())

    def test_sums_of_pairs_do_not_saturate(self):
        """On a processor without VNNI they do, unless a session requests precision, as this one and the exporter's do."""
        path = self.folder / "ones.onnx"
        graph = GraphBuilder(path, BY_ROWS)
        y = graph.linear(graph.input("x", FLOAT, ["rows", 128]), np.ones((64, 128), np.float32), rank=2)
        graph.output("y", FLOAT, ["rows", 64], y)
        graph.save()
        (found,) = session_of(path).run(None, {"x": np.ones((3, 128), np.float32)})
        np.testing.assert_allclose(found, 128, rtol=1e-6)

    def test_layers_with_the_same_input_share_its_bytes(self):
        self.build(None, None, 0.0)
        operators = [node.op_type for node in onnx.load(self.folder / "graph.onnx", load_external_data=False).graph.node]
        self.assertEqual(operators.count("QuantizeLinear"), 2)
        self.assertEqual(operators.count("MatMulIntegerToFloat"), 3)
        self.assertEqual(operators.count("Abs"), 1)

    def test_layers_may_stay_in_blocks(self):
        path = self.folder / "graph.onnx"
        graph = GraphBuilder(path, replace(BY_ROWS, in_blocks=frozenset({"layers.1/down_proj"})))
        x = graph.input("x", FLOAT, ["batch", "rows", FEATURES])
        for i in range(2):
            with graph.scope(f"layers.{i}"):
                y = graph.linear(x, random(OUTPUTS, FEATURES), name="down_proj")
            graph.output(f"y.{i}", FLOAT, ["batch", "rows", OUTPUTS], y)
        graph.save()
        products = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node if "MatMul" in node.op_type]
        self.assertEqual(products, ["MatMulIntegerToFloat", "MatMulNBits"])

    def test_weights_are_rounded_by_outputs(self):
        weight = random(OUTPUTS, FEATURES) * np.geomspace(1e-3, 1e3, OUTPUTS, dtype=np.float32)[:, None]
        weight[7] = 0
        values, scales = quantize_columns(weight, quantize_rows)
        self.assertEqual((values.shape, values.dtype, scales.dtype), ((FEATURES, OUTPUTS), np.int8, np.float32))
        errors = np.abs((values * scales).T - weight).max(1)
        np.testing.assert_array_less(errors, np.abs(weight).max(1) / 127 + 1e-9)


class FormsTest(TemporaryFolderTest):
    def manifest(self, name: str) -> dict:
        return json.loads((FIXTURES / "packages" / name / "manifest.json").read_text(encoding="utf-8"))

    def test_packages_of_few_bits_have_the_forms(self):
        for name in ("tiny-omni", "tiny-afwhisper", "tiny-audex"):
            encoder = {"audio_encoder": "audio_encoder.rows.onnx"}
            eight = self.manifest(f"{name}-int8")
            four = self.manifest(f"{name}-int4")
            self.assertEqual(eight["variants"]["cpu_vnni"], {"llm": "llm.rows.onnx"} | encoder)
            self.assertEqual(four["variants"]["cpu_vnni"], {"prefill": "prefill.rows.onnx"} | encoder)
            self.assertNotIn("cpu_vnni", self.manifest(f"{name}-fp32").get("variants", {}))
            for manifest in (eight, four):
                for file in manifest["variants"]["cpu_vnni"].values():
                    self.assertLessEqual({file, file + ".data"}, set(manifest["files"]))
                self.assertFalse([graph for graph in manifest["graphs"] if "." in graph or graph == "prefill"])

    def test_forms_keep_the_contract_of_their_graphs(self):
        for name, base in (("tiny-omni-int8", "llm"), ("tiny-audex-int4", "llm"), ("tiny-afwhisper-int8", "audio_encoder")):
            folder = FIXTURES / "packages" / name
            forms = self.manifest(name)["variants"]["cpu_vnni"]
            file = forms[base] if base in forms else forms["prefill"]
            found, expected = (onnx.load(folder / path, load_external_data=False).graph for path in (file, f"{base}.onnx"))
            self.assertEqual(list(found.input), list(expected.input))
            self.assertEqual(list(found.output), list(expected.output))
            operators = {node.op_type for node in found.node}
            self.assertIn("MatMulIntegerToFloat", operators)
            self.assertNotIn("MatMulNBits", operators)

    def test_forms_are_as_near_to_float32_as_blocks_are(self):
        for name, bound in (("tiny-omni", 0.02), ("tiny-afwhisper", 0.02), ("tiny-audex", 0.06)):
            folder = FIXTURES / "packages"
            reference = Package(folder / f"{name}-fp32")
            form = Package(folder / f"{name}-int8", "cpu_vnni")
            self.assertLess(max(features_apart(reference, form)), 0.02, name)
            blocks, rows = (
                compare(reference, package, prompts=2, length=32, steps=8, seed=0)["audio"]
                for package in (Package(folder / f"{name}-int8"), form)
            )
            self.assertLess(np.mean(rows.errors), bound, name)
            self.assertLess(np.mean(rows.errors), 1.6 * np.mean(blocks.errors), name)
            self.assertGreater(rows.same, 0.93 * rows.choices, name)

    def test_prompts_in_eight_bits_and_steps_in_four_share_a_cache(self):
        folder = FIXTURES / "packages"
        reference = Package(folder / "tiny-omni-fp32")
        four, mixed = (
            compare(reference, Package(folder / "tiny-omni-int4", form), prompts=4, length=32, steps=1, seed=0)["audio"]
            for form in (None, "cpu_vnni")
        )
        self.assertLess(np.mean(mixed.errors), 0.5 * np.mean(four.errors))
        after = compare(reference, Package(folder / "tiny-omni-int4", "cpu_vnni"), prompts=2, length=32, steps=12, seed=0)
        self.assertLess(np.mean(after["audio"].errors), 0.15)

    def test_the_forms_write_the_same_cache(self):
        """Keys and values at every position equal those of the float32 package except for the rounding."""
        for name in ("tiny-omni", "tiny-afwhisper", "tiny-audex"):
            expected, found = (
                self.cache(FIXTURES / "packages" / folder) for folder in (f"{name}-fp32/llm.onnx", f"{name}-int4/prefill.rows.onnx")
            )
            for part, values in expected.items():
                self.assertLess(np.linalg.norm(found[part] - values), 0.08 * np.linalg.norm(values), f"{name} {part}")

    def cache(self, path) -> dict[str, np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        embed = onnxruntime.InferenceSession(path.with_name("embed.onnx"))
        width = embed.get_inputs()[0].shape[2]
        ids = np.random.default_rng(0).integers(300, 500, (1, 40, width))
        feeds = {"inputs_embeds": embed.run(None, {"input_ids": ids})[0], "seqlens_k": np.array([39], np.int32)}
        feeds["total_sequence_length"] = np.array(40, np.int32)
        for value in session.get_inputs():
            if value.name.startswith("past_key_values."):
                feeds[value.name] = np.zeros((1, value.shape[1], 40, value.shape[3]), np.float32)
        names = [value.name for value in session.get_outputs() if value.name.startswith("present.")]
        return dict(zip(names, session.run(names, feeds)))

    def test_the_default_target_follows_the_precision_and_a_useless_target_is_refused(self):
        checkpoint = FIXTURES / "checkpoints" / "tiny-omni"
        for options in ({"precision": "int8", "targets": ("cpu",)}, {"precision": "fp32"}):
            out = export_package(checkpoint, self.folder / "plain", Options(force=True, **options))
            self.assertFalse(list(out.glob("*.rows.*")))
        with self.assertRaisesRegex(ExportError, "neither is in int8 or int4"):
            export_package(checkpoint, self.folder / "out", Options(targets=("vnni",)))
        options = Options(audio_encoder_precision="int8", targets=("vnni",), force=True)
        manifest = json.loads((export_package(checkpoint, self.folder / "out", options) / "manifest.json").read_text())
        self.assertEqual(manifest["variants"], {"cpu_vnni": {"audio_encoder": "audio_encoder.rows.onnx"}})


if __name__ == "__main__":
    unittest.main()
