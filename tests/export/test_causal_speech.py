"""The causal speech decoder against plain numpy: interleaved rotary positions, digits of codes, lookahead."""

import context  # noqa: F401, isort: skip
import unittest
from pathlib import Path

import numpy as np
import onnxruntime
from context import TemporaryFolderTest
from test_audex_export import attention
from ualm_export.blocks.attention import CachedAttention
from ualm_export.codecs.causal_speech import CausalSpeech
from ualm_export.config import Config
from ualm_export.graph import FLOAT, INT32, GraphBuilder, Storage
from ualm_export.random_weights import RandomTensors
from ualm_export.tensors import Prefixed

THETA = 10000.0
EPSILON = 1e-6


def codec_of(hidden: int, heads: int, lookahead: int, levels: list[int]) -> CausalSpeech:
    config = {
        "hidden_dim": hidden, "depth": 2, "heads": heads, "pos_meb_dim": hidden // heads, "hop_length": 10, "vq_dim": 14,
        "lookahead_steps": lookahead, "sample_rate": 16000, "codebook_levels": levels,
    }  # fmt: skip
    return CausalSpeech(Config(config, "test"), "speech.")


def rotated_pairs(x: np.ndarray) -> np.ndarray:
    """Rotates neighbours of x [T, heads, size] against each other by the angles of their position."""
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None, None] * THETA ** (-np.arange(half) / half)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)


def speak(codec: CausalSpeech, tensors, codes: np.ndarray) -> np.ndarray:
    """Computes samples of codes [T], in float64, from the rules alone."""
    weight = {name.removeprefix("speech."): tensors[name][:].astype(np.float64) for name in tensors}
    digits = []
    rest = codes
    for level in codec.levels:
        digits.append(2 * (rest % level) / (level - 1) - 1)
        rest = rest // level
    embedder = "audex_speech_token_embedder.project_out."
    x = (np.stack(digits, -1) @ weight[embedder + "weight"].T + weight[embedder + "bias"]) @ weight["module.fc_post_a.weight"].T
    if codec.lookahead:
        ahead = np.concatenate([x, np.zeros((codec.lookahead, codec.hidden_size))])
        kernel = weight["module.lookahead_conv.weight"][:, 0]
        h = sum(kernel[:, j] * ahead[j : j + len(x)] for j in range(codec.lookahead + 1))
        x = x + silu(h) @ weight["module.lookahead_proj.weight"][..., 0].T

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight[f"module.backbone.{name}.weight"]

    for i in range(codec.stack.layers):
        layer = f"module.backbone.transformers.{i}."
        packed = norm(x, f"transformers.{i}.att_norm") @ weight[layer + "att.c_attn.weight"].T
        query, key, value = (part.reshape(len(x), codec.heads, -1) for part in np.split(packed, 3, -1))
        mixed = attention(rotated_pairs(query), rotated_pairs(key), value).reshape(len(x), -1)
        x = x + mixed @ weight[layer + "att.c_proj.weight"].T
        inner = norm(x, f"transformers.{i}.ffn_norm") @ weight[layer + "mlp.fc1.weight"].T
        x = x + silu(inner) @ weight[layer + "mlp.fc2.weight"].T
    return np.tanh(norm(x, "final_layer_norm") @ weight["module.head.proj.weight"].T).reshape(-1)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


class CausalSpeechTest(TemporaryFolderTest):
    def decode(self, codec: CausalSpeech, tensors, codes: np.ndarray, chunk: int) -> np.ndarray:
        path = self.folder / "speech.onnx"
        codec.build_decoder(path, Storage(), tensors)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        state = codec.decoding["state"]
        padded = np.pad(codes, (0, codec.lookahead), constant_values=-1)
        names = [f"{i}.{kind}" for i in range(state["layers"]) for kind in ("key", "value")]
        shape = (1, state["heads"], len(codes) + 2, state["head_size"])
        cache = {name: np.zeros(shape, np.float32) for name in names}
        sound = []
        for start in range(0, len(codes), chunk):
            end = min(start + chunk, len(codes))
            feeds = {f"past_key_values.{name}": value for name, value in cache.items()}
            feeds |= {"seqlens_k": np.array([end - 1], np.int32), "total_sequence_length": np.array(end, np.int32)}
            feeds["audio_codes"] = padded[None, None, start : end + codec.lookahead]
            outputs = session.run(["audio_values", *(f"present.{name}" for name in names)], feeds)
            sound.append(outputs[0][0, 0])
            cache = dict(zip(names, outputs[1:]))
        return np.concatenate(sound)

    def test_heads_of_every_size_with_and_without_lookahead(self):
        for hidden, heads, lookahead, levels in (
            (24, 2, 0, [4, 4]), (32, 2, 4, [5, 3, 7]), (40, 2, 1, [2, 9]), (36, 6, 3, [4] * 5), (128, 2, 4, [4] * 8),
        ):  # fmt: skip
            codec = codec_of(hidden, heads, lookahead, levels)
            tensors = RandomTensors(codec.tensor_shapes(), seed=hidden)
            codes = np.random.default_rng(0).integers(0, codec.codebook_size, 23)
            expected = speak(codec, tensors, codes)
            for chunk in (1, 4, 23):
                with self.subTest(hidden=hidden, heads=heads, lookahead=lookahead, chunk=chunk):
                    found = self.decode(codec, tensors, codes, chunk)
                    self.assertEqual(found.shape, (230,))
                    self.assertLess(np.abs(found - expected).max(), 1e-5 * np.abs(expected).max())

    def test_a_code_past_the_end_is_not_code_zero(self):
        codec = codec_of(32, 2, 4, [4, 4])
        tensors = RandomTensors(codec.tensor_shapes(), seed=1)
        tail = self.decode(codec, tensors, np.array([3, 9]), 2)
        zeros = self.decode(codec, tensors, np.array([3, 9, 0, 0, 0, 0]), 6)[:20]
        self.assertGreater(np.abs(tail - zeros).max(), 1e-3)


class InterleavedAttentionTest(TemporaryFolderTest):
    def test_neighbours_are_rotated_over_grouped_queries(self):
        """Compares ONNX Runtime's attention with rotary_interleaved with numpy, for padded and unpadded heads."""
        for size in (4, 12, 16, 20, 64):
            with self.subTest(size=size):
                block = CachedAttention(30, 4, 2, size, THETA, 64, biases=False, interleaved=True)
                tensors = RandomTensors(block.shapes(), seed=size)
                x = np.random.default_rng(1).standard_normal((9, 30)).astype(np.float32)
                found = self.attend(block, tensors, x)
                project = {role: x @ tensors[f"{role}.weight"][:].astype(np.float64).T for role in ("query", "key", "value")}
                query, key, value = (array.reshape(9, -1, size) for array in project.values())
                key = np.repeat(rotated_pairs(key), 2, 1)
                value = np.repeat(value, 2, 1)
                expected = attention(rotated_pairs(query), key, value).reshape(9, -1) @ tensors["output.weight"][:].T
                self.assertLess(np.abs(found - expected).max(), 1e-5 * np.abs(expected).max())

    def attend(self, block: CachedAttention, tensors, x: np.ndarray) -> np.ndarray:
        path: Path = self.folder / "attention.onnx"
        graph = GraphBuilder(path)
        graph.input("x", FLOAT, ["batch", "positions", 30])
        graph.input("seqlens_k", INT32, ["batch"])
        graph.input("total_sequence_length", INT32, [])
        rotary = [graph.constant(table) for table in block.rotary_tables()]
        graph.output("y", FLOAT, ["batch", "positions", 30], block.apply(graph, 0, "x", Prefixed(tensors, ""), rotary))
        block.declare_cache(graph, 1)
        graph.save()
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shape = (1, block.key_value_heads, 12, block.cached_head_size)
        cache = {kind: np.zeros(shape, np.float32) for kind in ("key", "value")}
        found = []
        done = 0
        for end in (5, 6, 9):
            feeds = {f"past_key_values.0.{kind}": array for kind, array in cache.items()}
            feeds |= {"x": x[None, done:end], "seqlens_k": np.array([end - 1], np.int32)}
            feeds["total_sequence_length"] = np.array(end, np.int32)
            y, key, value = session.run(["y", "present.0.key", "present.0.value"], feeds)
            cache = {"key": key, "value": value}
            done = end
            found.append(y[0])
        return np.concatenate(found)


if __name__ == "__main__":
    unittest.main()
