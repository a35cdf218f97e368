"""Comparison of two packages of one checkpoint."""

import context  # noqa: F401, isort: skip
import unittest

import onnx
from checkpoint_writer import write_safetensors
from compare import Package, compare
from context import TemporaryFolderTest
from synthetic_checkpoint import SyntheticCheckpoint
from ualm_export.package import Options, export_package


class CompareTest(TemporaryFolderTest):
    def setUp(self):
        super().setUp()
        synthetic = SyntheticCheckpoint()
        self.checkpoint = self.folder / "checkpoint"
        self.checkpoint.mkdir()
        synthetic.write(self.checkpoint)
        write_safetensors(self.checkpoint / "model.safetensors", synthetic.tensors())

    def export(self, name: str, **options):
        return export_package(self.checkpoint, self.folder / name, Options(**options))

    def test_distances_grow_as_bits_go(self):
        packages = {name: Package(self.export(name, precision=name)) for name in ("fp32", "int8", "int4")}
        errors = []
        for name in ("fp32", "int8", "int4"):
            distances = compare(packages["fp32"], packages[name], prompts=1, length=6, steps=4, seed=0)
            self.assertEqual(set(distances), {"text", "audio", "speech"})
            audio = distances["audio"]
            self.assertEqual(audio.choices, 4 * packages[name].manifest["tokens"]["width"])
            errors.append(max(audio.errors))
            if name == "fp32":
                self.assertEqual(audio.same, audio.choices)
        self.assertEqual(errors[0], 0)
        self.assertLess(0, errors[1])
        self.assertLess(errors[1], errors[2])

    def test_the_audio_encoder_may_have_a_precision_of_its_own(self):
        out = self.export("mixed", precision="int8", audio_encoder_precision="fp16")
        operators = {
            name: {node.op_type for node in onnx.load(out / f"{name}.onnx", load_external_data=False).graph.node}
            for name in ("audio_encoder", "llm")
        }
        self.assertNotIn("MatMulNBits", operators["audio_encoder"])
        self.assertIn("MatMulNBits", operators["llm"])


if __name__ == "__main__":
    unittest.main()
