"""Masks of attention: added to the scores, also in a rewritten package of an earlier export."""

import hashlib
import json
import shutil
import unittest

import numpy as np
import onnx
import onnxruntime
from context import FIXTURES, TemporaryFolderTest
from ualm_export.errors import ExportError
from ualm_export.manifest import describe_file, text_of
from ualm_export.masks import with_added_masks
from upgrade_masks import upgrade_package

PACKAGE = FIXTURES / "packages" / "tiny-omni-fp32"


def earlier(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the audio encoder as earlier exports wrote it: its attention masks keys by an int32 input."""
    graph = model.graph
    where = next(node for node in graph.node if node.op_type == "Where")
    cast = onnx.helper.make_node("Cast", [where.input[0]], ["mask"], "Cast_mask", to=onnx.TensorProto.INT32)
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    expand = next(node for node in graph.node if attention[0].input[5] in node.output)
    unsqueeze = next(node for node in graph.node if expand.input[0] in node.output)
    nodes = [cast if node is where else node for node in graph.node if node not in (expand, unsqueeze)]
    for node in attention:
        del node.input[5]
        node.input[4] = "mask"
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def features(graph, lengths) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    _, bins, frames = session.get_inputs()[0].shape
    sound = np.random.default_rng(1).standard_normal((len(lengths), bins, frames)).astype(np.float32)
    return session.run(None, {"input_features": sound, "feature_lengths": np.array(lengths, np.int64)})


def manifest_of(package) -> dict:
    return json.loads((package / "manifest.json").read_text(encoding="utf-8"))


class MaskTest(unittest.TestCase):
    def test_no_graph_masks_keys_by_the_input_that_webgpu_lacks(self):
        masked = set()
        for path in (FIXTURES / "packages").glob("*/*.onnx"):
            for node in onnx.load(path, load_external_data=False).graph.node:
                if node.op_type == "MultiHeadAttention" and len(node.input) > 4:
                    self.assertEqual(node.input[4], "", path)
                    masked.add(path.name.partition(".")[0])
        self.assertEqual(masked, {"audio_encoder"})


class UpgradeTest(TemporaryFolderTest):
    def earlier_package(self):
        package = shutil.copytree(PACKAGE, self.folder / "package")
        graph = package / "audio_encoder.onnx"
        onnx.save(earlier(onnx.load(graph, load_external_data=False)), graph)
        manifest = manifest_of(package)
        manifest["files"][graph.name] = describe_file(graph)
        (package / "manifest.json").write_text(text_of(manifest), encoding="utf-8")
        return package

    def test_features_and_everything_else_stay_the_same(self):
        package = self.earlier_package()
        former = (package / "manifest.json").read_bytes()
        others = {path.name: path.read_bytes() for path in package.iterdir() if path.name.endswith(".data")}
        lengths = [200, 1, 117, 64]
        expected = features(package / "audio_encoder.onnx", lengths)
        upgrade_package(package)
        for found, wanted in zip(features(package / "audio_encoder.onnx", lengths), expected, strict=True):
            self.assertLessEqual(np.abs(found - wanted).max(), 1e-6 * np.abs(wanted).max())
        self.assertEqual({name: (package / name).read_bytes() for name in others}, others)

        manifest = manifest_of(package)
        of_former = json.loads(former)
        self.assertEqual(manifest.pop("formerly"), [hashlib.sha256(former).hexdigest()])
        for name, description in manifest.pop("files").items():
            self.assertEqual(describe_file(package / name), description)
        of_former.pop("files")
        self.assertEqual(manifest, of_former)

    def test_the_graph_is_that_of_a_new_export(self):
        new = onnx.load(PACKAGE / "audio_encoder.onnx", load_external_data=False)
        rewritten = onnx.load(upgrade_package(self.earlier_package()), load_external_data=False)
        self.assertEqual([n.op_type for n in rewritten.graph.node], [n.op_type for n in new.graph.node])

    def test_sums_of_earlier_manifests_are_kept(self):
        package = self.earlier_package()
        manifest = manifest_of(package) | {"formerly": ["one"]}
        (package / "manifest.json").write_text(text_of(manifest), encoding="utf-8")
        sum_of_former = hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
        upgrade_package(package)
        self.assertEqual(manifest_of(package)["formerly"], ["one", sum_of_former])

    def test_other_packages_are_refused_and_left_as_they_are(self):
        package = shutil.copytree(PACKAGE, self.folder / "package")
        manifest = manifest_of(package)
        without = {name: file for name, file in manifest["graphs"].items() if name != "audio_encoder"}
        cases = {
            "no attention of the graph has a mask": manifest,
            "expected 2": manifest | {"schema": 1},
            "has no audio_encoder": manifest | {"graphs": without},
            "is not the file": manifest | {"files": manifest["files"] | {"audio_encoder.onnx": {"size": 1, "sha256": ""}}},
            "is not a manifest": [],
        }
        graph = (package / "audio_encoder.onnx").read_bytes()
        for word, content in cases.items():
            with self.subTest(word=word):
                text = json.dumps(content)
                (package / "manifest.json").write_text(text, encoding="utf-8")
                with self.assertRaisesRegex(ExportError, word):
                    upgrade_package(package)
                self.assertEqual((package / "manifest.json").read_text(encoding="utf-8"), text)
                self.assertEqual((package / "audio_encoder.onnx").read_bytes(), graph)
        with self.assertRaisesRegex(ExportError, "is not a package"):
            upgrade_package(self.folder)

    def test_a_mask_that_the_exporter_did_not_write_is_refused(self):
        def with_other_cast(model):
            for node in model.graph.node:
                node.op_type = node.op_type.replace("Less", "Greater")

        def with_other_use(model):
            model.graph.node.append(onnx.helper.make_node("Identity", ["mask"], ["other"]))

        def with_both(model):
            next(node for node in model.graph.node if node.op_type == "MultiHeadAttention").input.append("x")

        cases = {"does not come from": with_other_cast, "has another use": with_other_use, "and another one": with_both}
        for word, change in cases.items():
            with self.subTest(word=word):
                model = earlier(onnx.load(PACKAGE / "audio_encoder.onnx", load_external_data=False))
                change(model)
                with self.assertRaisesRegex(ExportError, word):
                    with_added_masks(model)


if __name__ == "__main__":
    unittest.main()
