"""A causal speech decoder as a graph: one code for each frame, a little lookahead, and a transformer with a cache.

The codes use finite scalar quantization: the digits of a code are its values, without a table. The names of the tensors are
those of Audex's published decoder, after a prefix.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..blocks import fsq
from ..blocks.activation import silu
from ..blocks.attention import CachedAttention
from ..blocks.decoder_stack import DecoderStack
from ..blocks.mlp import PlainMlp
from ..blocks.shapes import Shapes, within
from ..config import Config
from ..errors import ExportError
from ..graph import FLOAT, INT64, GraphBuilder, Storage
from ..names import Names
from ..tensors import Tensor

_EMBEDDER = "audex_speech_token_embedder.project_out"
_LAYER = "transformers.{}."
_PACKED = "attention.packed.weight"
_STACK = {
    "layers.{}.attention_norm": _LAYER + "att_norm",
    "layers.{}.attention.packed": _LAYER + "att.c_attn",
    "layers.{}.attention.output": _LAYER + "att.c_proj",
    "layers.{}.mlp_norm": _LAYER + "ffn_norm",
    "layers.{}.mlp.up": _LAYER + "mlp.fc1",
    "layers.{}.mlp.down": _LAYER + "mlp.fc2",
    "norm": "final_layer_norm",
}
_ROTARY_THETA = 10000.0
_EPSILON = 1e-6
_MAX_FRAMES = 8192
_CHUNK_FRAMES = 5


class CausalSpeech:
    """The causal speech codec; it has no encoder. `Codec` documents the interface."""

    name = "speech"
    books = 1

    def __init__(self, config: Config, prefix: str):
        config.require("embed_tokens_from_codes", [True], default=True)
        self.prefix = prefix
        self.levels = config.sizes("codebook_levels", least=2)
        self.hidden_size = config.size("hidden_dim")
        self.heads = config.size("heads")
        self.quantizer_size = config.size("vq_dim")
        self.lookahead = config.size("lookahead_steps", default=0, least=0)
        self.sampling_rate = config.size("sample_rate")
        self.hop_length = config.size("hop_length")
        self.codebook_size = math.prod(self.levels)
        self._check(config)
        self.stack = DecoderStack(
            layers=config.size("depth"),
            attention=CachedAttention(
                hidden_size=self.hidden_size,
                heads=self.heads,
                key_value_heads=self.heads,
                head_size=self.hidden_size // self.heads,
                rotary_theta=_ROTARY_THETA,
                max_positions=_MAX_FRAMES,
                biases=False,
                interleaved=True,
            ),
            mlp=PlainMlp(self.hidden_size, 4 * self.hidden_size, "silu"),
            epsilon=_EPSILON,
        )
        state = {"layers": self.stack.layers, "heads": self.heads, "head_size": self.stack.attention.cached_head_size}
        self.decoding = {
            "kind": "causal", "chunk": _CHUNK_FRAMES, "lookahead": self.lookahead, "max_frames": _MAX_FRAMES, "state": state,
        }  # fmt: skip

    def _check(self, config: Config) -> None:
        if not self.levels:
            raise ExportError(f"{config.source}: codebook_levels is empty; expected the number of values of each digit")
        if self.hidden_size % self.heads or self.hidden_size // self.heads % 2:
            raise ExportError(
                f"{config.source}: hidden_dim {self.hidden_size} over {self.heads} heads; expected heads of an even size"
            )
        implemented = {
            "codebook_size": self.codebook_size,
            "token_embed_dim": len(self.levels),
            "pos_meb_dim": self.hidden_size // self.heads,
        }
        for field, value in implemented.items():
            config.require(field, [value], default=value)

    def tensor_shapes(self) -> Shapes:
        hidden = self.hidden_size
        shapes = {
            f"{_EMBEDDER}.weight": (self.quantizer_size, len(self.levels)),
            f"{_EMBEDDER}.bias": (self.quantizer_size,),
            "module.fc_post_a.weight": (hidden, self.quantizer_size),
            "module.head.proj.weight": (self.hop_length, hidden),
        }
        if self.lookahead:
            shapes["module.lookahead_conv.weight"] = (hidden, 1, self.lookahead + 1)
            shapes["module.lookahead_proj.weight"] = (hidden, hidden, 1)
        return within(self.prefix, shapes) | self._names().shapes(self._packed_shapes())

    def _packed_shapes(self) -> Shapes:
        """Returns the stack's shapes by role, with queries, keys and values in one tensor."""
        shapes = {}
        for role, shape in self.stack.shapes().items():
            layer, _, name = role.rpartition("attention.")
            if name in ("query.weight", "key.weight", "value.weight"):
                shapes[layer + _PACKED] = (3 * self.hidden_size, self.hidden_size)
            else:
                shapes[role] = shape
        return shapes

    def unused_tensors(self) -> list[str]:
        """Returns the projection of waveforms, which only training needs."""
        return [self.prefix.replace(".", r"\.") + r"module\.wav_proj\.weight"]

    def _names(self) -> Names:
        return Names(f"{self.prefix}module.backbone.", _STACK)

    def build_decoder(self, path: Path, storage: Storage, tensors) -> None:
        """audio_codes [B, 1, N + lookahead], the cache → audio_values [B, 1, N × hop]; −1 is a frame past the end."""
        graph = GraphBuilder(path, storage)
        codes = graph.input("audio_codes", INT64, ["batch", 1, "codes"])
        x = self._embedded(graph, codes, tensors)
        if self.lookahead:
            x = self._looked_ahead(graph, x, tensors)
        x = self.stack.apply(graph, x, _Unpacked(self._names().roles(tensors), self.hidden_size))
        samples = graph.op("Tanh", graph.linear(x, tensors[f"{self.prefix}module.head.proj.weight"], name="head"))
        samples = graph.op("Reshape", samples, graph.constant([0, 1, -1]))
        graph.output("audio_values", FLOAT, ["batch", 1, "samples"], samples)
        self.stack.declare_cache(graph)
        graph.save()

    def _embedded(self, graph: GraphBuilder, codes: str, tensors) -> str:
        """codes [B, 1, M] → [B, M, hidden], zero for code −1; two linear layers are folded into one."""
        outer = tensors[f"{self.prefix}module.fc_post_a.weight"][:].astype(np.float64)
        weight = outer @ tensors[f"{self.prefix}{_EMBEDDER}.weight"][:]
        bias = outer @ tensors[f"{self.prefix}{_EMBEDDER}.bias"][:]
        codes = graph.transpose(codes, [0, 2, 1])
        known = graph.op("Cast", graph.op("GreaterOrEqual", codes, graph.constant(0)), to=FLOAT)
        values = fsq.decode(graph, graph.op("Max", codes, graph.constant(0)), self.levels)
        embedded = graph.linear(
            values, weight.astype(np.float32), bias.astype(np.float32), name="embed_codes", quantize=False
        )
        return graph.op("Mul", embedded, known)

    def _looked_ahead(self, graph: GraphBuilder, x: str, tensors) -> str:
        """x [B, N + lookahead, hidden] → [B, N, hidden]: each frame plus a mix of itself and of the frames after it."""
        ahead = graph.conv(
            graph.transpose(x, [0, 2, 1]), tensors[f"{self.prefix}module.lookahead_conv.weight"], groups=self.hidden_size
        )
        ahead = silu(graph, graph.transpose(ahead, [0, 2, 1]))
        mixed = graph.linear(ahead, _Flat(tensors[f"{self.prefix}module.lookahead_proj.weight"]), name="lookahead_proj")
        frames = graph.op("Slice", x, graph.constant([0]), graph.constant([-self.lookahead]), graph.constant([1]))
        return graph.add(frames, mixed)


class _Flat:
    """A lazy tensor: a pointwise convolution's weight [out, in, 1] as a matrix [out, in]."""

    def __init__(self, tensor: Tensor):
        self._tensor = tensor
        self.shape = tensor.shape[:2]

    def __getitem__(self, rows) -> np.ndarray:
        return self._tensor[rows][..., 0]


@dataclass(frozen=True)
class _Unpacked:
    """The stack's tensors by role; queries, keys and values are parts of one tensor."""

    tensors: Mapping
    hidden_size: int
    prefix: str = ""

    def within(self, prefix: str) -> "_Unpacked":
        return _Unpacked(self.tensors, self.hidden_size, self.prefix + prefix)

    def __getitem__(self, role: str) -> Tensor:
        layer, _, name = (self.prefix + role).rpartition("attention.")
        for i, kind in enumerate(("query.weight", "key.weight", "value.weight")):
            if layer and name == kind:
                return self.tensors[layer + _PACKED].part(i * self.hidden_size, (i + 1) * self.hidden_size)
        return self.tensors[self.prefix + role]
