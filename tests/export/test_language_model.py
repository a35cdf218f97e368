"""The llm graph against Qwen2 in plain numpy, for all kinds of head sizes."""

import context  # noqa: F401, isort: skip
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime
from ualm_export.config import Config
from ualm_export.families.ualm.language_model import decoder
from ualm_export.graph import Storage
from ualm_export.language_model import Decoder

THETA = 10000.0
EPSILON = 1e-6


def model_of(head_dim: int, heads: int, kv_heads: int) -> tuple[Decoder, dict]:
    config = {
        "model_type": "qwen2", "hidden_size": heads * head_dim, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "rms_norm_eps": EPSILON, "rope_theta": THETA,
        "max_position_embeddings": 64,
    }  # fmt: skip
    model = decoder(Config(config, "test"))
    random = np.random.default_rng(head_dim)
    tensors = {
        name: random.standard_normal(shape).astype(np.float32) * 0.3 for name, shape in model.tensor_shapes().items()
    }
    return model, tensors


def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight


def rotated(x):
    """Rotates each head of x [T, heads, size] by the angles of its position."""
    positions = np.arange(len(x))[:, None, None]
    half = x.shape[-1] // 2
    angles = positions * THETA ** (-np.arange(half) / half)
    a = x[..., :half]
    b = x[..., half:]
    cos = np.cos(angles)
    sin = np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def qwen2(model: Decoder, tensors: dict, x: np.ndarray) -> np.ndarray:
    """Computes hidden states [T, H] of embeddings [T, H], in float64."""
    length = len(x)
    size = model.attention.head_size
    for i in range(model.layers):
        layer = {name: tensors[f"model.layers.{i}.{name}"].astype(np.float64) for name in layer_names(tensors)}

        def project(name, layer=layer):
            projected = normed @ layer[f"self_attn.{name}_proj.weight"].T + layer[f"self_attn.{name}_proj.bias"]
            return projected.reshape(length, -1, size)

        normed = norm(x, layer["input_layernorm.weight"])
        query = rotated(project("q"))
        key = rotated(project("k"))
        value = project("v")
        groups = model.attention.heads // model.attention.key_value_heads
        key = np.repeat(key, groups, 1)
        value = np.repeat(value, groups, 1)
        scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(size)
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", weights, value).reshape(length, -1) @ layer["self_attn.o_proj.weight"].T
        normed = norm(x, layer["post_attention_layernorm.weight"])
        gate = normed @ layer["mlp.gate_proj.weight"].T
        up = normed @ layer["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp.down_proj.weight"].T
    return norm(x, tensors["model.norm.weight"])


def layer_names(tensors: dict) -> list[str]:
    first = "model.layers.0."
    return [name.removeprefix(first) for name in tensors if name.startswith(first)]


def run_graph(folder: Path, model: Decoder, tensors: dict, x: np.ndarray, split: int) -> np.ndarray:
    """Runs the exported graph: the first `split` positions at once, the others one by one; returns the hidden states."""
    model.build(folder / "llm.onnx", Storage(), tensors)
    session = onnxruntime.InferenceSession(folder / "llm.onnx", providers=["CPUExecutionProvider"])
    shape = (1, model.attention.key_value_heads, 64, model.attention.cached_head_size)
    names = [f"{i}.{part}" for i in range(model.layers) for part in ("key", "value")]
    cache = {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names}
    hidden = []
    done = 0
    for end in [split, *range(split + 1, len(x) + 1)]:
        feeds = cache | {
            "inputs_embeds": x[None, done:end], "seqlens_k": np.array([end - 1], np.int32),
            "total_sequence_length": np.array(end, np.int32),
        }  # fmt: skip
        outputs = session.run(["hidden_states", *(f"present.{name}" for name in names)], feeds)
        hidden.append(outputs[0][0])
        cache = {f"past_key_values.{name}": array for name, array in zip(names, outputs[1:])}
        done = end
    return np.concatenate(hidden)


class LanguageModelTest(unittest.TestCase):
    def test_heads_of_every_size(self):
        for head_dim in (4, 8, 12, 16, 20, 24, 40, 64):
            with self.subTest(head_dim=head_dim), tempfile.TemporaryDirectory() as folder:
                model, tensors = model_of(head_dim, heads=4, kv_heads=2)
                x = np.random.default_rng(1).standard_normal((9, model.hidden_size)).astype(np.float32)
                expected = qwen2(model, tensors, x.astype(np.float64))
                found = run_graph(Path(folder), model, tensors, x, split=5)
                error = np.abs(found - expected).max() / np.abs(expected).max()
                self.assertLess(error, 1e-5)


if __name__ == "__main__":
    unittest.main()
