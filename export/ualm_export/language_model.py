"""The language model as graphs: its embedding, its decoder and its heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .blocks.attention import CachedAttention
from .blocks.mlp import Mlp
from .blocks.norm import add_and_rms_norm
from .blocks.shapes import Shapes, within
from .errors import ExportError
from .graph import FLOAT, INT32, INT64, GraphBuilder, Storage
from .names import Names
from .tensors import Rows

Interval = tuple[int, int]
"""The ids start … end − 1, as (start, end)."""


@dataclass(frozen=True)
class Embedding:
    """The embedding of a position: the sum over its ids."""

    table: str
    """Name of the tensor in the checkpoint."""
    size: int
    hidden_size: int
    width: int
    """Ids of a position."""
    pad: int | None = None
    """The id that embeds to zero."""

    def tensor_shapes(self) -> Shapes:
        return {self.table: (self.size, self.hidden_size)}

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """input_ids [B, T, width] → inputs_embeds [B, T, H]."""
        table = tensors[self.table]
        if self.pad is not None and np.any(table[self.pad : self.pad + 1]):
            raise ExportError(
                f"{self.table}: row {self.pad} (pad) is not zero; "
                "the trainer keeps it at zero and the runtime counts on it"
            )
        graph = GraphBuilder(path, storage)
        ids = graph.input("input_ids", INT64, ["batch", "frames", self.width])
        rows = graph.embedding(ids, table, "embed_tokens")
        summed = graph.op("ReduceSum", rows, graph.constant([2]), keepdims=0)
        graph.output("inputs_embeds", FLOAT, ["batch", "frames", self.hidden_size], summed)
        graph.save()


@dataclass(frozen=True)
class Decoder:
    """Layers of attention and feed-forward behind RMS norms, and a last norm."""

    names: Names
    layers: int
    attention: CachedAttention
    mlp: Mlp
    epsilon: float
    """Of the norms."""

    @property
    def hidden_size(self) -> int:
        return self.attention.hidden_size

    def tensor_shapes(self) -> Shapes:
        layer = {"attention_norm.weight": (self.hidden_size,)} | within("attention.", self.attention.shapes())
        layer |= {"mlp_norm.weight": (self.hidden_size,)} | within("mlp.", self.mlp.shapes())
        shapes = {}
        for i in range(self.layers):
            shapes |= within(f"layers.{i}.", layer)
        return self.names.shapes(shapes | {"norm.weight": (self.hidden_size,)})

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """The layers and the last norm; see the contract for the cache, which is of the type that is computed with."""
        weights = self.names.roles(tensors)
        graph = GraphBuilder(path, storage)
        branch = graph.float_input("inputs_embeds", ["batch", "positions", self.hidden_size])
        graph.input("seqlens_k", INT32, ["batch"])
        graph.input("total_sequence_length", INT32, [])
        rotary = [graph.parameter(table) for table in self.attention.rotary_tables()]
        residual = None
        for i in range(self.layers):
            with graph.scope(f"layers.{i}"):
                layer = weights.within(f"layers.{i}.")
                normed, residual = self._norm(graph, branch, residual, layer["attention_norm.weight"])
                branch = self.attention.apply(graph, i, normed, layer.within("attention."), rotary)
                normed, residual = self._norm(graph, branch, residual, layer["mlp_norm.weight"])
                branch = self.mlp.apply(graph, normed, layer.within("mlp."))
        hidden, _ = self._norm(graph, branch, residual, weights["norm.weight"], last=True)
        graph.float_output("hidden_states", ["batch", "positions", self.hidden_size], hidden)
        self.attention.declare_cache(graph, self.layers)
        graph.save()

    def _norm(self, graph: GraphBuilder, branch: str, residual: str | None, weight, last: bool = False) -> tuple[str, str]:
        return add_and_rms_norm(graph, branch, residual, weight, self.epsilon, last)


@dataclass(frozen=True)
class Head:
    """The logits of some ids: rows of the output matrix."""

    matrix: str
    """Name of the tensor in the checkpoint."""
    size: int
    hidden_size: int
    ids: tuple[Interval, ...]
    """Ids of the columns, in order."""

    @property
    def columns(self) -> int:
        return sum(end - start for start, end in self.ids)

    def tensor_shapes(self) -> Shapes:
        return {self.matrix: (self.size, self.hidden_size)}

    def bias(self, tensors: Mapping) -> np.ndarray | None:
        """The bias of the logits [columns]."""
        return None

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """hidden_states [rows, H] → logits [rows, columns]."""
        bias = self.bias(tensors)
        graph = GraphBuilder(path, storage)
        hidden = graph.input("hidden_states", FLOAT, ["rows", self.hidden_size])
        weights = Rows([tensors[self.matrix].part(start, end) for start, end in self.ids])
        logits = graph.linear(hidden, weights, bias, name="lm_head", rank=2)
        graph.output("logits", FLOAT, ["rows", self.columns], logits)
        graph.save()
