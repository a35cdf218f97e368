"""Calibration: all linear layers by name, reproducible statistics of the layers' inputs."""

import context  # noqa: F401, isort: skip
import unittest

import numpy as np
from context import FIXTURES, TemporaryFolderTest
from log_mel import log_mel as independent_log_mel
from ualm_export.calibration import calibrated
from ualm_export.calibration.log_mel import log_mel
from ualm_export.calibration.observed import ObservedGraph
from ualm_export.calibration.sounds import sounds
from ualm_export.families import open_checkpoint
from ualm_export.graph import FLOAT, GraphBuilder, Storage
from ualm_export.options import Options

CHECKPOINTS = FIXTURES / "checkpoints"


@unittest.skipUnless(CHECKPOINTS.is_dir(), "python3 tests/tools/fixtures.py writes the checkpoints")
class CheckpointTest(TemporaryFolderTest):
    def statistics(self, name: str) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray | None]]]:
        """Returns `largest` of every layer, and the moments of the language model's."""
        checkpoint = open_checkpoint(CHECKPOINTS / name, Options(precision="int4"))
        arguments = checkpoint.parts, checkpoint.tensors, checkpoint.tokenizer
        with calibrated(*arguments, moments=frozenset({"llm"}), beside=self.folder / "package") as found:
            return {
                graph: {layer: (inputs.largest, inputs.moments() if graph == "llm" else None) for layer, inputs in layers.items()}
                for graph, layers in found.items()
            }

    def test_statistics_cover_every_layer_of_both_families(self):
        body = {"tiny-omni": {"qkv_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}}
        body["tiny-audex"] = body["tiny-omni"] - {"gate_proj"}
        heads = {"tiny-omni": {"text_head", "audio_head"}, "tiny-audex": {"text_head", "speech_head", "speech_decoder"}}
        for name, layers in body.items():
            found = self.statistics(name)
            count = 1 + max(int(layer.split("/")[0].removeprefix("layers.")) for layer in found["llm"])
            self.assertEqual(set(found["llm"]), {f"layers.{i}/{layer}" for i in range(count) for layer in layers})
            self.assertEqual(set(found), {"llm", "audio_encoder"} | heads[name])
            self.assertTrue({"layers.0/q_proj", "layers.0/out_proj", "layers.0/fc1", "layers.0/fc2"} <= set(found["audio_encoder"]))
            for head in heads[name] - {"speech_decoder"}:
                self.assertEqual(set(found[head]), {"lm_head"})
            for largest, moments in found["llm"].values():
                self.assertTrue(np.all(np.isfinite(largest)) and np.any(largest > 0))
                self.assertTrue(np.all(np.diag(moments) <= 1.01 * largest**2))

    def test_calibration_is_reproducible_and_leaves_no_files(self):
        first = self.statistics("tiny-omni")
        second = self.statistics("tiny-omni")
        for graph, layers in first.items():
            for layer, (largest, moments) in layers.items():
                np.testing.assert_array_equal(largest, second[graph][layer][0])
                if moments is not None:
                    np.testing.assert_array_equal(moments, second[graph][layer][1])
        self.assertEqual(list(self.folder.iterdir()), [])


class ObservedGraphTest(TemporaryFolderTest):
    def test_statistics_are_those_of_the_inputs(self):
        generator = np.random.default_rng(0)
        weights = [generator.standard_normal(shape).astype(np.float32) for shape in ((24, 16), (8, 24))]
        graph = GraphBuilder(self.folder / "graph.onnx", Storage(half=True))
        x = graph.input("x", FLOAT, ["batch", "positions", 16])
        hidden = graph.op("Relu", graph.linear(x, weights[0], name="up"))
        with graph.scope("inner"):
            graph.output("y", FLOAT, ["batch", "positions", 8], graph.linear(hidden, weights[1], name="down"))
        graph.save()
        observed = ObservedGraph(self.folder / "graph.onnx", self.folder)
        runs = [generator.standard_normal((1, count, 16)).astype(np.float32) for count in (5, 7)]
        for run in runs:
            observed.observe({"x": run})
        found = observed.close()
        self.assertEqual(set(found), {"up", "inner/down"})
        inputs = np.concatenate(runs, 1)[0]
        np.testing.assert_array_equal(found["up"].largest, np.abs(inputs).max(0))
        np.testing.assert_allclose(found["up"].moments(), inputs.T @ inputs / 12, atol=0.02)
        hidden = np.maximum(inputs @ weights[0].T.astype(np.float16).astype(np.float32), 0)
        np.testing.assert_allclose(found["inner/down"].largest, hidden.max(0), rtol=1e-4)
        np.testing.assert_allclose(found["inner/down"].moments(), hidden.T @ hidden / 12, rtol=0.02, atol=0.1)


class SoundTest(unittest.TestCase):
    def test_sounds_are_full_and_differ(self):
        made = sounds(1.0)
        for samples in made:
            self.assertEqual((samples.shape, samples.dtype), ((16000,), np.float32))
            self.assertAlmostEqual(float(np.abs(samples).max()), 0.5, places=5)
        correlations = np.corrcoef(np.stack(made))
        self.assertLess(np.abs(correlations - np.eye(len(made))).max(), 0.1)

    def test_the_log_mel_equals_whispers(self):
        for samples in sounds(0.5):
            np.testing.assert_allclose(log_mel(samples, 128), independent_log_mel(samples), atol=1e-5)


if __name__ == "__main__":
    unittest.main()
