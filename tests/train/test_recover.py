"""Recovered weights compute the same results as the graphs of the shipped package."""

import tempfile
import unittest
from pathlib import Path

import context
import numpy as np
import onnxruntime
import torch

from train import recover
from train.encoder.train_encoder import EncoderTrainer
from train.errors import TrainingError
from train.language_model.model import LanguageModelConfig
from train.storage import begin_with, load_weights

PACKAGE = context.ROOT / "onnx" / "default"
torch.set_grad_enabled(True)


def run(graph: str, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(PACKAGE / f"{graph}.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


class Recovered(unittest.TestCase):
    """The recovered weights equal the dequantized ones, so only the arithmetic differs."""

    @classmethod
    def setUpClass(cls):
        cls.random = np.random.default_rng(0)
        cls.temporary = tempfile.TemporaryDirectory()
        cls.work = Path(cls.temporary.name)
        with context.silent():
            recover.recover(PACKAGE, cls.work)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @torch.no_grad()
    def test_logits(self):
        model = recover.language_model(PACKAGE)
        frames = model.vocabulary.delayed(self.random.integers(0, 1024, (8, 12)))
        embeddings = model.embed(torch.from_numpy(frames)[None])
        np.testing.assert_allclose(embeddings[0], run("embed", input_ids=frames[None])[0], atol=1e-3)
        hidden = model(embeddings)[0]
        self.assertLess(relative_error(hidden.numpy(), self._body(embeddings.numpy())), 0.05)
        row = hidden[-1:].numpy()
        heads = run("audio_head", hidden_states=row)[0].copy()
        size = model.vocabulary.block_size
        for stream in range(8):
            logits = model.audio_logits(hidden[-1:], stream)[0, :size].numpy()
            self.assertLess(relative_error(logits, heads[stream * size : (stream + 1) * size]), 0.02, f"stream {stream}")
        self.assertLess(relative_error(model.text_logits(hidden[-1:])[0].numpy(), run("text_head", hidden_states=row)[0]), 0.02)

    def _body(self, embeddings: np.ndarray) -> np.ndarray:
        c = LanguageModelConfig()
        count = embeddings.shape[1]
        state = {
            f"past_key_values.{i}.{part}": np.zeros((1, c.num_key_value_heads, count, c.head_dim), np.float32)
            for i in range(c.num_hidden_layers)
            for part in ("key", "value")
        }
        lengths = {"seqlens_k": np.array([count - 1], np.int32), "total_sequence_length": np.array(count, np.int32)}
        return run("llm", inputs_embeds=embeddings, **lengths, **state)[0]

    @torch.no_grad()
    def test_features_after_the_adaptor(self):
        tower = recover.tower(PACKAGE)
        model = recover.language_model(PACKAGE)
        mel = self.random.normal(0, 0.5, (1, 128, 200)).astype(np.float32)
        found = model.adaptor["continuous_audio"](tower(torch.from_numpy(mel), torch.tensor([200])))
        expected = run("audio_encoder", input_features=mel, feature_lengths=np.array([200], np.int64))
        self.assertLess(relative_error(found[0].numpy(), expected.reshape(found[0].shape)), 0.05)

    @torch.no_grad()
    def test_codes_and_samples(self):
        codec = recover.codec(PACKAGE)
        samples = self.random.normal(0, 0.1, (1, 20 * 320)).astype(np.float32)
        codes = codec.encode(torch.from_numpy(samples))
        np.testing.assert_array_equal(codes.numpy(), run("codec_encoder", input_values=samples[None]))
        decoded = run("codec_decoder", audio_codes=codes.numpy(), first_frame=np.array([3], np.int64))
        self.assertLess(relative_error(codec.decode(codes, first_frame=3).numpy(), decoded[0]), 0.01)

    def test_the_stages_load_the_recovered_files(self):
        trainer = EncoderTrainer(["dog bark"])
        with context.silent():
            begin_with(self.work / recover.START / "encoder.pt", trainer)
        torch.testing.assert_close(trainer.tower.proj.weight, recover.tower(PACKAGE).proj.weight)
        load_weights(self.work / "codec.pt", recover.codec(PACKAGE))
        self.assertTrue((self.work / "tokenizer.json").exists())

    def test_a_foreign_package_is_refused(self):
        with self.assertRaisesRegex(TrainingError, "not a package"):
            recover.recover(self.work, self.work)
        with self.assertRaisesRegex(TrainingError, "expected constant.*found"):
            recover.Initializers(PACKAGE / "text_head.onnx").vector(7)


if __name__ == "__main__":
    unittest.main()
