"""Float16 forms: the nodes in float16, the accuracy of the results, and graphs without a form."""

import hashlib
import json
import shutil
import unittest

from context import FIXTURES, ROOT, TemporaryFolderTest

import numpy as np
import onnx
from add_variants import add_variants
from onnx import TensorProto, helper
from ualm_export.errors import ExportError
from ualm_export.graph import FLOAT, INT64, GraphBuilder, Storage
from ualm_export.half import convert, forms
from ualm_export.half.convert import fits_half
from ualm_export.half.measure import Runner, value_types
from ualm_export.half.operators import PRODUCTS, SUMMED_EXACTLY
from ualm_export.manifest import describe_file

SIZE = 32
RANDOM = np.random.default_rng(5)


def weight(rows: int = SIZE, columns: int = SIZE, scale: float = 0.2) -> np.ndarray:
    return (RANDOM.standard_normal((rows, columns)) * scale).astype(np.float32)


class FormTest(TemporaryFolderTest):
    """A test builds `self.graph`; `self.form` makes its form for CUDA, and runs both on the input x."""

    def setUp(self):
        super().setUp()
        self.graph = GraphBuilder(self.folder / "graph.onnx")
        self.x = self.graph.input("x", FLOAT, ["batch", "rows", SIZE])

    def form(self, x: np.ndarray, products=PRODUCTS) -> tuple[onnx.ModelProto, float]:
        """Returns the form and its difference from the graph."""
        self.graph.save()
        model = forms._named(onnx.load(self.graph.path, load_external_data=False))
        types = value_types(model, self.folder)
        weights = {tensor.name for tensor in model.graph.initializer}
        runner = Runner(model, self.folder, [name for name, kind in types.items() if kind == FLOAT and name not in weights])
        (expected,) = runner({"x": x}).values()
        source = convert.Source(model, self.folder, types, runner.largest)
        convert.write(self.folder / "form.onnx", source, convert.choose(source, products))
        form = onnx.load(self.folder / "form.onnx", load_external_data=False)
        (found,) = Runner(convert.rounded(form), self.folder)({"x": x}).values()
        return form, float(np.abs(found - expected).max() / np.abs(expected).max())

    def kinds(self, form: onnx.ModelProto, operator: str) -> list[int]:
        """Returns the types of the first output of an operator's nodes, in order."""
        types = value_types(form, self.folder)
        return [types[node.output[0]] for node in form.graph.node if node.op_type == operator]

    def test_products_and_the_nodes_between_them_are_in_float16(self):
        x = self.graph.linear(self.x, weight(), name="up")
        x = self.graph.gelu(x)
        self.graph.output("y", FLOAT, ["batch", "rows", SIZE], self.graph.linear(x, weight(), weight(1)[0], name="down"))
        form, error = self.form(RANDOM.standard_normal((1, 4, SIZE)).astype(np.float32))
        self.assertEqual(self.kinds(form, "MatMul"), [TensorProto.FLOAT16] * 2)
        self.assertEqual(self.kinds(form, "Gelu"), [TensorProto.FLOAT16])
        self.assertEqual(self.kinds(form, "Add"), [TensorProto.FLOAT])  # its sum is an output
        self.assertEqual(self.kinds(form, "Cast"), [TensorProto.FLOAT16, TensorProto.FLOAT])
        self.assertTrue(0 < error < 2e-3, error)

    def test_values_beyond_float16_and_their_readers_stay_in_float32(self):
        """A squared ReLU, as in Audex, with values near a thousand."""
        x = self.graph.op("Relu", self.graph.linear(self.x, weight(scale=30), name="up"))
        x = self.graph.linear(self.graph.op("Mul", x, x), weight(scale=1e-6), name="down")
        self.graph.output("y", FLOAT, ["batch", "rows", SIZE], self.graph.linear(x, weight(), name="last"))
        form, error = self.form(5 * RANDOM.standard_normal((1, 4, SIZE)).astype(np.float32))
        self.assertEqual(self.kinds(form, "Mul"), [TensorProto.FLOAT])
        self.assertEqual(self.kinds(form, "MatMul"), [TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT16])
        self.assertLess(error, 2e-3)

    def test_nodes_before_a_logarithm_or_beside_a_sine_stay_in_float32(self):
        power = self.graph.linear(self.x, weight(), name="spectrum")
        power = self.graph.op("Log", self.graph.add(self.graph.op("Mul", power, power), self.graph.constant(1e-9)))
        x = self.graph.linear(power, weight(), name="up")
        x = self.graph.add(x, self.graph.op("Sin", self.graph.op("Mul", x, self.graph.constant(0.5))))
        self.graph.output("y", FLOAT, ["batch", "rows", SIZE], self.graph.linear(x, weight(), name="down"))
        form, error = self.form(1e-4 * RANDOM.standard_normal((1, 4, SIZE)).astype(np.float32))
        self.assertEqual(self.kinds(form, "MatMul"), [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT16])
        for operator in ("Log", "Sin", "Mul", "Add"):
            self.assertEqual(set(self.kinds(form, operator)), {TensorProto.FLOAT}, operator)
        self.assertLess(error, 2e-3)

    def test_a_search_of_a_codebook_is_in_float32(self):
        x = self.graph.gelu(self.graph.linear(self.x, weight(), name="up"))
        x = self.graph.linear(self.graph.linear(x, weight(), name="across"), weight(), name="down")
        scores = self.graph.linear(x, weight(1000), weight(1, 1000)[0], name="scores")
        self.graph.output("codes", INT64, ["batch", "rows"], self.graph.op("ArgMax", scores, axis=-1, keepdims=0))
        form, _ = self.form(RANDOM.standard_normal((1, 4, SIZE)).astype(np.float32))
        self.assertEqual(self.kinds(form, "MatMul"), [TensorProto.FLOAT16] * 3 + [TensorProto.FLOAT])

    def test_a_form_keeps_half_and_quantized_weights_where_they_are(self):
        for bits in (None, 8, 4):
            with self.subTest(bits=bits):
                self.graph = GraphBuilder(self.folder / "graph.onnx", Storage(half=True, bits=bits))
                self.x = self.graph.input("x", FLOAT, ["batch", "rows", SIZE])
                x = self.graph.gelu(self.graph.linear(self.x, weight(256), name="up"))
                self.graph.output("y", FLOAT, ["batch", "rows", SIZE], self.graph.linear(x, weight(SIZE, 256), name="down"))
                form, error = self.form(RANDOM.standard_normal((1, 4, SIZE)).astype(np.float32))
                files = {entry.value for tensor in form.graph.initializer for entry in tensor.external_data[:1]}
                self.assertEqual(files, {"graph.onnx.data"})  # few scales fit into the form itself
                self.assertLess(error, {None: 2e-3, 8: 3e-2, 4: 3e-2}[bits])  # float32 rounds activations to 8 bits here
                levels = [a.i for node in form.graph.node for a in node.attribute if a.name == "accuracy_level"]
                self.assertEqual(levels, [0, 0] if bits else [])

    def test_products_that_a_provider_sums_in_float16_are_excluded(self):
        for products, expected in ((SUMMED_EXACTLY["cuda"], 1), (SUMMED_EXACTLY["webgpu"], 0)):
            graph = GraphBuilder(self.folder / "graph.onnx")
            x = graph.input("x", FLOAT, ["batch", "rows", SIZE])
            graph.output("y", FLOAT, ["batch", "rows", SIZE], graph.linear(x, weight()))
            model = forms._named(onnx.load(graph.save(), load_external_data=False))
            types = value_types(model, self.folder)
            source = convert.Source(model, self.folder, types, {name: 1.0 for name in types})
            self.assertEqual(convert.choose(source, products).in_half, expected)

    def test_attention_with_a_cache_that_needs_float32_is_refused(self):
        graph = shutil.copy(FIXTURES / "packages" / "tiny-omni-fp32" / "llm.onnx", self.folder)
        shutil.copy(FIXTURES / "packages" / "tiny-omni-fp32" / "llm.onnx.data", self.folder)
        model = onnx.load(graph, load_external_data=False)
        types = value_types(model, self.folder)
        with self.assertRaisesRegex(ExportError, "attention .* limit 16376"):
            convert.choose(convert.Source(model, self.folder, types, {name: 2e4 for name in types}), PRODUCTS)

    def test_branches_are_refused(self):
        branch = helper.make_graph([], "branch", [], [])
        node = helper.make_node("If", ["which"], ["y"], then_branch=branch, else_branch=branch)
        model = helper.make_model(helper.make_graph([node], "graph", [], []))
        with self.assertRaisesRegex(ExportError, "branches"):
            convert.choose(convert.Source(model, self.folder, {}, {}), PRODUCTS)

    def test_overflow_is_found_although_the_cpu_computes_in_float32(self):
        """The CPU has no float16 product: it would skip the rounding between two, and find no overflow."""
        self.graph.output("y", FLOAT, ["batch", "rows", SIZE], self.graph.linear(self.x, weight(scale=1)))
        form, _ = self.form(np.ones((1, 4, SIZE), np.float32))
        (found,) = Runner(convert.rounded(form), self.folder)({"x": np.full((1, 4, SIZE), 6e4, np.float32)}).values()
        self.assertFalse(np.isfinite(found).all())

    def test_weights_that_float16_holds(self):
        self.assertTrue(fits_half(np.array([0.0, 1e-9, 0.5], np.float32)))
        self.assertTrue(fits_half(np.zeros(3, np.float32)))
        self.assertFalse(fits_half(np.array([1e-6, 2e-6], np.float32)), "some devices would take them for zero")
        self.assertFalse(fits_half(np.array([1.0, 7e4], np.float32)))

    def test_outputs_are_compared(self):
        right = {"y": np.array([1.0, -4.0], np.float32)}
        forms._compare(right, {"y": np.array([1.03, -4.0], np.float16)})
        for wrong, words in (([1.05, -4.0], "differs by 1.2e-02"), ([np.inf, -4.0], "not finite")):
            with self.assertRaisesRegex(ExportError, words):
                forms._compare(right, {"y": np.array(wrong, np.float16)})
        with self.assertRaisesRegex(ExportError, "all zeros"):
            forms._compare({"y": np.zeros(2, np.float32)}, {"y": np.zeros(2, np.float16)})
        codes = np.arange(100)
        forms._compare({"audio_codes": codes}, {"audio_codes": np.where(codes < 5, 7, codes)})
        for name in ("audio_codes", "audio_feature_lengths"):
            with self.assertRaisesRegex(ExportError, f"of {name} differ"):
                forms._compare({name: codes}, {name: np.where(codes < 7, 8, codes)})


class PackageTest(TemporaryFolderTest):
    def test_every_port_is_float32_but_the_cache(self):
        for path in [path for name in ("tiny-omni-gpu", "tiny-audex-gpu", "tiny-audex-int8")
                     for form in forms.FORMS for path in (FIXTURES / "packages" / name).glob(f"*.{form}.onnx")]:  # fmt: skip
            with self.subTest(path=path.name):
                form = onnx.load(path, load_external_data=False)
                own = onnx.load(path.with_name(path.name.partition(".")[0] + ".onnx"), load_external_data=False)
                for kind in ("input", "output"):
                    for found, expected in zip(getattr(form.graph, kind), getattr(own.graph, kind), strict=True):
                        if found.name.startswith(("past_key_values.", "present.")):
                            self.assertEqual(found.type.tensor_type.elem_type, TensorProto.FLOAT16)
                            expected.type.tensor_type.elem_type = TensorProto.FLOAT16
                        self.assertEqual(found, expected)

    def test_providers_share_the_forms_of_quantized_graphs_alone(self):
        def variants(name: str) -> dict:
            return json.loads((FIXTURES / "packages" / name / "manifest.json").read_text(encoding="utf-8"))["variants"]

        quantized = variants("tiny-audex-int8")
        self.assertEqual(quantized["cuda"], quantized["webgpu"] | {"audio_decoder": "audio_decoder.cuda.onnx"})
        self.assertEqual(quantized["webgpu"]["llm"], "llm.half.onnx")
        caches = {"llm": "llm.webgpu.onnx", "speech_decoder": "speech_decoder.webgpu.onnx"}
        self.assertEqual(variants("tiny-audex-gpu")["webgpu"], caches)
        self.assertEqual(
            set(variants("tiny-audex-gpu")["cuda"]),
            {"llm", "head", "audio_head", "audio_encoder", "audio_decoder", "speech_decoder"},
        )

    def test_forms_are_added_to_a_package_whose_other_files_stay(self):
        package = shutil.copytree(ROOT / "onnx" / "default", self.folder / "package")
        before = {path.name: path.read_bytes() for path in package.iterdir()}
        added = add_variants(package, ["webgpu", "cuda"])
        self.assertEqual(set(added), {"cuda", "webgpu"})
        self.assertNotIn("codec_encoder", added["cuda"], "one of its products is neither search nor logarithm")
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        former = json.loads(before.pop("manifest.json"))
        self.assertEqual(manifest["formerly"][-1], hashlib.sha256((ROOT / "onnx/default/manifest.json").read_bytes()).hexdigest())
        self.assertEqual({**manifest, "formerly": former.get("formerly", [])},
                         {"formerly": []} | former | {"variants": added, "files": manifest["files"]})  # fmt: skip
        for name, content in before.items():
            self.assertEqual((package / name).read_bytes(), content)
        found = {path.name: describe_file(path) for path in package.iterdir() if path.name in manifest["files"]}
        self.assertEqual(len(found), len(before) - 1 + len(list(package.glob("*.half.*"))) + len(list(package.glob("*.cuda.*"))))
        self.assertEqual(manifest["files"], found)
        with self.assertRaisesRegex(ExportError, "variants already"):
            add_variants(package, ["cuda"])

    def test_nothing_is_added_to_a_damaged_package(self):
        package = shutil.copytree(FIXTURES / "packages" / "tiny-omni-int8", self.folder / "package")
        with open(package / "text_head.onnx.data", "r+b") as file:
            file.write(b"\x55")
        before = sorted(path.name for path in package.iterdir())
        with self.assertRaisesRegex(ExportError, "text_head.onnx.data is not the file"):
            add_variants(package, ["cuda"])
        self.assertEqual(sorted(path.name for path in package.iterdir()), before)

    def test_a_form_that_differs_is_not_written(self):
        """Random weights make a sound decoder that float16 cannot compute; all other graphs have their forms."""
        package = shutil.copytree(FIXTURES / "packages" / "synthetic-fp32", self.folder / "package")
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        files, notes = forms.add_half_forms(package, manifest, ["cuda"])
        self.assertNotIn("codec_decoder", files["cuda"])
        self.assertFalse(list(package.glob("codec_decoder.cuda*")))
        self.assertIn("llm", files["cuda"])
        self.assertEqual(len(notes), 1)
        self.assertRegex(notes[0], r"codec_decoder has no float16 form for cuda: in float16 audio_values differs by .* expected at most 0.01")


if __name__ == "__main__":
    unittest.main()
