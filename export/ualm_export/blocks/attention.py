"""Attention: over a whole input, or causal with rotary positions and a key/value cache."""

from dataclasses import dataclass

import numpy as np

from ..graph import CONTRIB, FLOAT, GraphBuilder
from ..tensors import Prefixed, Rows
from .shapes import Shapes, linear_shapes

MASKED = -30000.0
"""Added to the score of a masked position: its weight is then zero, and float16 holds the number."""


def self_attention(graph: GraphBuilder, x: str, tensors: Prefixed, heads: int, key_bias: bool = True, mask: str = "") -> str:
    """Every position of x [B, T, H] attends to all positions, or to those that `mask`, of `attention_mask`, allows."""
    projected = [graph.linear(x, tensors[f"{role}.weight"], name=name) for role, name in _PROJECTIONS.items()]
    query = tensors["query.bias"][:]
    value = tensors["value.bias"][:]
    key = tensors["key.bias"][:] if key_bias else np.zeros_like(query)
    biases = graph.constant(np.concatenate([query, key, value]))
    masks = ["", mask] if mask else []
    context = graph.op("MultiHeadAttention", *projected, biases, *masks, domain=CONTRIB, num_heads=heads)
    return graph.linear(context, tensors["output.weight"], tensors["output.bias"], name="out_proj")


def attention_mask(graph: GraphBuilder, inside: str, positions: int) -> str:
    """Returns the bias of the scores [B, 1, T, T] that prevents attention to positions where `inside` (bool [B, T]) is false.

    The operator's own mask of keys is not used: WebGPU does not support it.
    """
    scores = graph.op("Where", inside, graph.constant(0.0), graph.constant(MASKED))
    scores = graph.op("Unsqueeze", scores, graph.constant([1, 2]))
    return graph.op("Expand", scores, graph.constant([1, 1, positions, 1]))


def self_attention_shapes(name: str, hidden_size: int, key_bias: bool = True) -> Shapes:
    shapes = {}
    for role in (*_PROJECTIONS, "output"):
        shapes |= linear_shapes(f"{name}.{role}", hidden_size, hidden_size, bias=role != "key" or key_bias)
    return shapes


_PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}


@dataclass(frozen=True)
class CachedAttention:
    """Attention of grouped queries to all positions so far, whose keys and values are in a cache."""

    hidden_size: int
    heads: int
    key_value_heads: int
    head_size: int
    rotary_theta: float
    max_positions: int
    biases: bool
    """True: queries, keys and values have biases."""
    interleaved: bool = False
    """True: rotary positions rotate neighbours against each other. False: the halves of a head."""

    @property
    def cached_head_size(self) -> int:
        """The size of a head in the graph and its cache: ONNX Runtime's attention rotates multiples of 16."""
        return -(-self.head_size // 16) * 16

    def shapes(self) -> Shapes:
        queries = self.heads * self.head_size
        keys = self.key_value_heads * self.head_size
        return (
            linear_shapes("query", queries, self.hidden_size, self.biases)
            | linear_shapes("key", keys, self.hidden_size, self.biases)
            | linear_shapes("value", keys, self.hidden_size, self.biases)
            | linear_shapes("output", self.hidden_size, queries, bias=False)
        )

    def rotary_tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns cosines and sines [positions, cached_head_size / 2] of the rotary angles, rounded once from float64.

        The columns beyond the head's own size, which are multiplied with zeros only, do not rotate.
        """
        exponents = np.arange(0, self.head_size, 2, dtype=np.float64) / self.head_size
        positions = np.arange(self.max_positions, dtype=np.float64)
        angles = np.outer(positions, self.rotary_theta**-exponents)
        beyond = ((0, 0), (0, (self.cached_head_size - self.head_size) // 2))
        cosines = np.pad(np.cos(angles), beyond, constant_values=1)
        sines = np.pad(np.sin(angles), beyond)
        return cosines.astype(np.float32), sines.astype(np.float32)

    def cache_shape(self) -> list[int | str]:
        return ["batch", self.key_value_heads, "capacity", self.cached_head_size]

    def apply(self, graph: GraphBuilder, index: int, x: str, tensors: Prefixed, rotary: list[str]) -> str:
        """Adds the attention of layer `index` with packed projections; rotates, and extends the cache in place.

        The graph has the inputs `seqlens_k` and `total_sequence_length`; `rotary` are the names of the tables.
        """
        roles = ("query", "key", "value")
        weights = Rows([self._padded(tensors[f"{role}.weight"]) for role in roles])
        biases = np.concatenate([self._padded(tensors[f"{role}.bias"])[:] for role in roles]) if self.biases else None
        packed = graph.linear(x, weights, biases, name="qkv_proj")
        past_key = graph.input(f"past_key_values.{index}.key", FLOAT, self.cache_shape())
        past_value = graph.input(f"past_key_values.{index}.value", FLOAT, self.cache_shape())
        context, _, _ = graph.op(
            "GroupQueryAttention", packed, "", "", past_key, past_value, "seqlens_k", "total_sequence_length", *rotary,
            outputs=[graph.name("context"), f"present.{index}.key", f"present.{index}.value"], domain=CONTRIB,
            num_heads=self.heads, kv_num_heads=self.key_value_heads, scale=float(self.head_size**-0.5),
            do_rotary=1, rotary_interleaved=int(self.interleaved),
        )  # fmt: skip
        output = tensors["output.weight"]
        if self.cached_head_size != self.head_size:
            output = _PaddedHeads(output[:].T, self)[:].T
        return graph.linear(context, output, name="o_proj")

    def declare_cache(self, graph: GraphBuilder, layers: int) -> None:
        """Declares the outputs that the attention of each layer writes."""
        for i in range(layers):
            graph.output(f"present.{i}.key", FLOAT, self.cache_shape())
            graph.output(f"present.{i}.value", FLOAT, self.cache_shape())

    def padded(self, factors: np.ndarray) -> np.ndarray:
        """Pads factors [heads × size] of features with ones, at the zeros that the graph adds to each head or half of a head."""
        return np.pad(factors.reshape(-1, self.piece), ((0, 0), (0, self.cached_piece - self.piece)), constant_values=1).ravel()

    def unpadded(self, features: np.ndarray) -> np.ndarray:
        """Removes these zeros from features [..., heads × cached size] of the graph."""
        pieces = features.reshape(*features.shape[:-1], -1, self.cached_piece)
        return pieces[..., : self.piece].reshape(*features.shape[:-1], -1)

    @property
    def piece(self) -> int:
        """The number of contiguous features: half a head if rotary positions rotate the halves against each other, else a head."""
        return self.head_size // (1 if self.interleaved else 2)

    @property
    def cached_piece(self) -> int:
        return self.cached_head_size // (1 if self.interleaved else 2)

    def _padded(self, tensor):
        """Returns the projection's rows as the graph needs them: padded only if the head's size requires it."""
        return tensor if self.cached_head_size == self.head_size else _PaddedHeads(tensor, self)


class _PaddedHeads:
    """A lazy tensor: rows of a projection [heads × size, …] with zeros after each head, or half of a head."""

    def __init__(self, tensor, attention: CachedAttention):
        self._tensor = tensor
        self._piece = attention.piece
        self._padded = attention.cached_piece
        self.shape = (tensor.shape[0] // self._piece * self._padded, *tensor.shape[1:])

    def __getitem__(self, rows) -> np.ndarray:
        pieces = self._tensor[:].reshape(-1, self._piece, *self.shape[1:])
        beyond = [(0, 0), (0, self._padded - self._piece)] + [(0, 0)] * (len(self.shape) - 1)
        return np.pad(pieces, beyond).reshape(self.shape)[rows]
