"""The language model as graphs: embedding, decoder and heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .blocks.attention import CachedAttention
from .blocks.decoder_stack import DecoderStack
from .blocks.shapes import Shapes
from .blocks.shortlist import LEAST_COLUMNS, shortlisted_logits
from .errors import ExportError
from .graph import FLOAT, INT64, GraphBuilder, Storage
from .names import Names
from .tensors import Rows, Scaled

Interval = tuple[int, int]
"""The ids start..end, as (start, end)."""


def only(token: int) -> Interval:
    """Returns the interval of one id."""
    return token, token + 1


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
                "the trainer keeps it at zero and the runtime relies on that"
            )
        graph = GraphBuilder(path, storage)
        ids = graph.input("input_ids", INT64, ["batch", "frames", self.width])
        rows = graph.embedding(ids, table, "embed_tokens")
        summed = graph.op("ReduceSum", rows, graph.constant([2]), keepdims=0)
        graph.output("inputs_embeds", FLOAT, ["batch", "frames", self.hidden_size], summed)
        graph.save()


@dataclass(frozen=True)
class Decoder:
    """The layers between embedding and heads, with the names of their tensors."""

    names: Names
    stack: DecoderStack

    @property
    def hidden_size(self) -> int:
        return self.stack.hidden_size

    @property
    def layers(self) -> int:
        return self.stack.layers

    @property
    def attention(self) -> CachedAttention:
        return self.stack.attention

    def tensor_shapes(self) -> Shapes:
        return self.names.shapes(self.stack.shapes())

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """Writes the layers and the last norm; the contract describes the cache."""
        graph = GraphBuilder(path, storage)
        embeds = graph.input("inputs_embeds", FLOAT, ["batch", "positions", self.hidden_size])
        hidden = self.stack.apply(graph, embeds, self.names.roles(tensors))
        graph.output("hidden_states", FLOAT, ["batch", "positions", self.hidden_size], hidden)
        self.stack.declare_cache(graph)
        graph.save()


def columns(ids: Sequence[Sequence[int]], book: Sequence[int]) -> slice:
    """Returns the columns of the ids of `book` in a head whose columns have `ids`."""
    offset = 0
    for start, end in ids:
        if start <= book[0] and book[1] <= end:
            return slice(offset + book[0] - start, offset + book[1] - start)
        offset += end - start
    raise ValueError(f"a head of {ids} has no columns for {book}")


@dataclass(frozen=True)
class Head:
    """The logits of some ids, computed with rows of the output matrix."""

    matrix: str
    """Name of the tensor in the checkpoint."""
    size: int
    hidden_size: int
    ids: tuple[Interval, ...]
    """Ids of the columns, in order."""
    scale: float = field(default=1.0, kw_only=True)
    """Multiplies the logits; it is folded into the weights."""

    @property
    def columns(self) -> int:
        return sum(end - start for start, end in self.ids)

    def tensor_shapes(self) -> Shapes:
        return {self.matrix: (self.size, self.hidden_size)}

    def bias(self, tensors: Mapping) -> np.ndarray | None:
        """Returns the bias of the logits [columns]."""
        return None

    def has_shortlist(self, storage: Storage) -> bool:
        """Returns whether most logits are computed from fewer bits, in a package of `storage`."""
        return storage.shortlist is not None and self.columns >= LEAST_COLUMNS

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """hidden_states [rows, H] → logits [rows, columns]."""
        bias = self.bias(tensors)
        has_shortlist = self.has_shortlist(storage)
        graph = GraphBuilder(path, replace(storage.shortlist, inputs=storage.inputs) if has_shortlist else storage)
        hidden = graph.input("hidden_states", FLOAT, ["rows", self.hidden_size])
        weights = Rows([tensors[self.matrix].part(start, end) for start, end in self.ids])
        if self.scale != 1:
            weights = Scaled(weights, self.scale)
        if has_shortlist:
            logits = shortlisted_logits(graph, hidden, weights)
        else:
            logits = graph.linear(hidden, weights, bias, name="lm_head", rank=2)
        graph.output("logits", FLOAT, ["rows", self.columns], logits)
        graph.save()
