"""Smoothing: float32 results do not change, and features of very different sizes become similar."""

import context  # noqa: F401, isort: skip
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import onnxruntime
from context import TemporaryFolderTest
from ualm_export.audio_encoder import AudioEncoder, LinearProjector
from ualm_export.blocks.attention import CachedAttention
from ualm_export.blocks.decoder_stack import DecoderStack
from ualm_export.blocks.mlp import GatedMlp, PlainMlp
from ualm_export.blocks.whisper_tower import WhisperTower
from ualm_export.calibration.observed import LinearInputs, ObservedGraph
from ualm_export.families.transformers import DECODER, WHISPER_TOWER
from ualm_export.graph import Storage
from ualm_export.language_model import Decoder
from ualm_export.names import Names
from ualm_export.precision import BY_ROWS
from ualm_export.random_weights import RandomTensors
from ualm_export.smoothing import Smoothing, best_factors

HIDDEN = 96
POSITIONS = 40
OUTLIERS = (3, 17, 40)


def decoder(mlp, biases: bool = True, head_size: int = 24) -> Decoder:
    attention = CachedAttention(
        hidden_size=HIDDEN, heads=4, key_value_heads=2, head_size=head_size, rotary_theta=1e4, max_positions=64, biases=biases
    )
    return Decoder(Names("", DECODER), DecoderStack(layers=2, attention=attention, mlp=mlp, epsilon=1e-6))


def encoder(masked: bool, projected: int | None) -> AudioEncoder:
    tower = WhisperTower(
        hidden_size=HIDDEN, intermediate_size=256, layers=2, heads=4, mel_bins=32, chunk_frames=80,
        masked=masked, learned_positions=not masked, projected_size=projected,
    )  # fmt: skip
    names = Names("", WHISPER_TOWER | ({"norm": "ln_post", "projection": "proj"} if projected else {}))
    return AudioEncoder("test", tower, names, LinearProjector("adaptor", tower.output_size, 64), 30, False, True)


def with_outliers(part, tensors, inputs):
    """Returns tensors of the same function with some inner features 20 times as large, compensated in the weights that read them."""

    def factors(_largest: np.ndarray, examples: np.ndarray, *_others) -> tuple[np.ndarray, float]:
        found = np.ones(examples.shape[1], np.float32)
        found[list(OUTLIERS)] = 1 / 20
        return found, 0.0

    with mock.patch("ualm_export.smoothing.best_factors", factors):
        return smoothed(part, tensors, inputs).tensors()


def smoothed(part, tensors, inputs) -> Smoothing:
    smoothing = Smoothing(tensors, part.names, inputs)
    return smoothing.decoder(part.stack) if isinstance(part, Decoder) else smoothing.tower(part.tower)


class SmoothingTest(TemporaryFolderTest):
    def run_part(self, part, tensors, storage: Storage = Storage()) -> tuple[np.ndarray, dict]:
        """Returns the first output, and the inputs of the linear layers of a float graph."""
        path = self.folder / "graph.onnx"
        part.build(path, storage, tensors)
        feeds = decoder_feeds(part) if isinstance(part, Decoder) else encoder_feeds(part)
        if storage.bits:
            options = onnxruntime.SessionOptions()
            options.add_session_config_entry("session.x64quantprecision", "1")
            return onnxruntime.InferenceSession(path, options).run(None, feeds)[0], {}
        graph = ObservedGraph(path, Path(tempfile.mkdtemp(dir=self.folder)))
        outputs = graph.observe(feeds)
        return next(iter(outputs.values())), graph.close()

    def cases(self):
        """Yields parts of all kinds, their random tensors, their results, and the inputs of the linear layers."""
        parts = [
            decoder(mlp, biases, head_size)
            for mlp in (GatedMlp(HIDDEN, 256), PlainMlp(HIDDEN, 256, "relu2"))
            for head_size, biases in ((24, True), (32, False))
        ]
        for part in [*parts, encoder(True, 48), encoder(False, None)]:
            random = RandomTensors(part.tensor_shapes(), seed=1)
            yield part, random, *self.run_part(part, random)

    def test_in_float32_nothing_changes(self):
        for part, tensors, expected, inputs in self.cases():
            spread_out = with_outliers(part, tensors, inputs)
            found, larger = self.run_part(part, spread_out)
            np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5 * np.abs(expected).max())
            found, smaller = self.run_part(part, smoothed(part, spread_out, larger).tensors())
            np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5 * np.abs(expected).max())
            changed = [name for name in inputs if not np.allclose(inputs[name].largest, larger[name].largest, rtol=1e-2)]
            read = {layer.rpartition("/")[2] for layer in changed}
            self.assertEqual(read, {layer.rpartition("/")[2] for layer in inputs} - {"fc2", "adaptor"})
            for layer in changed:
                self.assertLess(spread(smaller[layer]), 1.2 * spread(larger[layer]), layer)

    def test_by_rows_outliers_cost_little(self):
        for part, tensors, expected, inputs in self.cases():
            without, _ = self.run_part(part, tensors, BY_ROWS)
            spread_out = with_outliers(part, tensors, inputs)
            plain, _ = self.run_part(part, spread_out, BY_ROWS)
            _, larger = self.run_part(part, spread_out)
            found, _ = self.run_part(part, smoothed(part, spread_out, larger).tensors(), BY_ROWS)
            self.assertLess(error(found, expected), 1.5 * error(without, expected))
            self.assertGreater(error(plain, expected), 2 * error(found, expected))

    def test_the_inputs_of_smoothed_layers_have_the_right_moments(self):
        """Compares the moments with those of a run of the smoothed graph, padded heads included."""
        for part, tensors, _, inputs in self.cases():
            tensors = with_outliers(part, tensors, inputs)
            _, inputs = self.run_part(part, tensors)
            smoothing = smoothed(part, tensors, inputs)
            stated = {layer: found.moments() for layer, found in smoothing.inputs().items()}
            _, found = self.run_part(part, smoothing.tensors())
            for layer, moments in stated.items():
                exact = found[layer].moments()
                self.assertLess(np.abs(moments - exact).max(), 0.01 * np.abs(exact).max(), layer)


    def test_small_rows_with_few_steps_are_detected(self):
        """After GELU the minimum divisor of a row is 1.2, so that its lowest value has a byte: small rows have few steps."""
        part = encoder(False, None)
        for scale, lost in ((1.0, False), (1e-2, True)):
            random = RandomTensors(part.tensor_shapes(), seed=1)
            tensors = {name: random[name][:] * (scale if "fc1" in name else 1) for name in random}
            _, inputs = self.run_part(part, tensors)
            sensitive = {layer for layer in smoothed(part, tensors, inputs).sensitive(0.1) if layer.endswith("fc2")}
            self.assertEqual(sensitive, {layer for layer in inputs if lost and layer.endswith("fc2")})


class CacheTest(TemporaryFolderTest):
    """Caches that several forms share."""

    def test_keys_and_values_that_another_form_reads_stay(self):
        for part in (decoder(GatedMlp(HIDDEN, 256)), decoder(PlainMlp(HIDDEN, 256, "relu2"), False, 32)):
            random = RandomTensors(part.tensor_shapes(), seed=1)
            tensors = with_outliers(part, random, self.cache(part, random)[1])
            expected, inputs = self.cache(part, tensors)
            kept, changed = (
                Smoothing(tensors, part.names, inputs).decoder(part.stack, keeps_cache).tensors() for keeps_cache in (True, False)
            )
            for name, values in self.cache(part, kept)[0].items():
                np.testing.assert_allclose(values, expected[name], rtol=0, atol=3e-5 * np.abs(expected[name]).max())
            self.assertGreater(error(self.cache(part, changed)[0]["present.0.value"], expected["present.0.value"]), 0.05)

    def test_a_projection_behind_kept_values_is_judged(self):
        part = decoder(GatedMlp(HIDDEN, 256))
        random = RandomTensors(part.tensor_shapes(), seed=1)
        inputs = self.cache(part, random)[1]
        spread_out = with_outliers(part, random, inputs)
        inputs = self.cache(part, spread_out)[1]
        sensitive = [Smoothing(spread_out, part.names, inputs).decoder(part.stack, kept).sensitive(0.05) for kept in (False, True)]
        layers = {f"layers.{i}/o_proj" for i in range(part.layers)}
        self.assertEqual([found & layers for found in sensitive], [set(), layers])

    def cache(self, part: Decoder, tensors) -> tuple[dict[str, np.ndarray], dict]:
        """Returns the keys and values of a float graph, and the inputs of its linear layers."""
        part.build(self.folder / "graph.onnx", Storage(), tensors)
        graph = ObservedGraph(self.folder / "graph.onnx", Path(tempfile.mkdtemp(dir=self.folder)))
        found = graph.observe(decoder_feeds(part))
        return {name: value for name, value in found.items() if name.startswith("present.")}, graph.close()


class FactorsTest(unittest.TestCase):
    def test_similar_features_stay_and_absent_ones_have_no_factor(self):
        generator = np.random.default_rng(0)
        weight = generator.standard_normal((64, 32), np.float32)
        inputs = generator.standard_normal((50, 32), np.float32)
        inputs[:, 4] *= 30
        inputs[:, 5] = 0
        factors, error = best_factors(np.abs(inputs).max(0), inputs, weight)
        self.assertLess(0.005, error)
        self.assertLess(error, 0.03)
        self.assertEqual(factors[5], 1)
        self.assertGreater(factors[4], 3 * np.median(factors))
        np.testing.assert_array_equal(best_factors(np.zeros(32), np.zeros_like(inputs), weight)[0], 1)


def spread(inputs: LinearInputs) -> float:
    used = inputs.largest[inputs.largest > 0]
    return float(used.max() / np.median(used))


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def decoder_feeds(part: Decoder) -> dict[str, np.ndarray]:
    attention = part.attention
    cache = np.zeros((1, attention.key_value_heads, POSITIONS, attention.cached_head_size), np.float32)
    return {f"past_key_values.{layer}.{kind}": cache for layer in range(part.layers) for kind in ("key", "value")} | {
        "inputs_embeds": np.random.default_rng(2).standard_normal((1, POSITIONS, HIDDEN)).astype(np.float32),
        "seqlens_k": np.array([POSITIONS - 1], np.int32),
        "total_sequence_length": np.array(POSITIONS, np.int32),
    }


def encoder_feeds(part: AudioEncoder) -> dict[str, np.ndarray]:
    mel = np.random.default_rng(3).uniform(-1, 1.5, (2, part.tower.mel_bins, part.tower.chunk_frames))
    return {"input_features": mel.astype(np.float32), "feature_lengths": np.array([part.tower.chunk_frames, 31])}


if __name__ == "__main__":
    unittest.main()
