"""Smoothing: features that are much larger than others are made smaller where a linear layer reads them (arXiv 2211.10438).

A scale for a whole row leaves few steps to the small features of a row with a large one. What makes the row, a norm or another
linear layer, is divided by a factor for each feature, and the weight that reads the row is multiplied by it: in exact
arithmetic nothing changes. `Smoothing` finds the factors for the layers of a decoder or a tower, and gives its tensors with the
factors in them; graphs are built from these as from any others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .blocks.attention import CachedAttention
from .blocks.decoder_stack import DecoderStack
from .blocks.mlp import GatedMlp, PlainMlp
from .blocks.whisper_tower import WhisperTower
from .names import Names
from .weight_file import slabs

EXPONENTS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0)
"""How much of a feature's size may move into the weight; the one of least error is taken."""
_SAMPLES = 512
"""Rows of a weight that factors are judged by."""


class Stretched:
    """A tensor whose rows and columns are multiplied by factors, as a lazy tensor."""

    def __init__(self, tensor, rows: np.ndarray | None, columns: np.ndarray | None):
        self.shape = tensor.shape
        self._tensor, self._rows, self._columns = tensor, rows, columns

    def __getitem__(self, rows) -> np.ndarray:
        found = self._tensor[rows]
        if self._columns is not None:
            found = found * self._columns
        if self._rows is not None:
            found = found * self._rows[rows].reshape(-1, *[1] * (len(self.shape) - 1))
        return found


@dataclass(frozen=True)
class StretchedTensors(Mapping):
    """Tensors by name, those with factors stretched."""

    tensors: Mapping
    rows: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray]

    def __getitem__(self, name: str):
        rows, columns = self.rows.get(name), self.columns.get(name)
        return self.tensors[name] if rows is None and columns is None else Stretched(self.tensors[name], rows, columns)

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


class Smoothing:
    """The factors of the tensors of a part, whose names are `names`.

    `largest` has the largest magnitude of each feature that a linear layer reads, by the layer's scoped name; layers that it
    does not have stay as they are.
    """

    def __init__(self, tensors: Mapping, names: Names, largest: Mapping[str, np.ndarray]):
        self._tensors, self._names, self._largest = tensors, names, largest
        self._rows: dict[str, np.ndarray] = {}
        self._columns: dict[str, np.ndarray] = {}

    def tensors(self) -> StretchedTensors:
        return StretchedTensors(self._tensors, self._rows, self._columns)

    def decoder(self, stack: DecoderStack) -> "Smoothing":
        for i in range(stack.layers):
            layer, attention = f"layers.{i}.", f"layers.{i}.attention."
            self._behind_norm(f"layers.{i}/qkv_proj", [layer + "attention_norm.weight"], _projections(attention))
            self._behind_values(f"layers.{i}/o_proj", attention, stack.attention)
            mlp = layer + "mlp."
            is_gated = isinstance(stack.mlp, GatedMlp)
            readers = [mlp + "gate.weight", mlp + "up.weight"] if is_gated else [mlp + "up.weight"]
            self._behind_norm(f"layers.{i}/up_proj", [layer + "mlp_norm.weight"], readers)
            if is_gated:
                self._behind_linear(f"layers.{i}/down_proj", [mlp + "up.weight"], mlp + "down.weight")
            elif isinstance(stack.mlp, PlainMlp) and stack.mlp.activation == "relu2":
                self._behind_linear(f"layers.{i}/down_proj", [mlp + "up.weight"], mlp + "down.weight", power=0.5)
        return self

    def tower(self, tower: WhisperTower) -> "Smoothing":
        for i in range(tower.layers):
            layer, attention = f"layers.{i}.", f"layers.{i}.attention."
            self._behind_norm(f"layers.{i}/q_proj", _norm(layer + "attention_norm"), _projections(attention))
            values = [attention + "value.weight", attention + "value.bias"]
            self._behind_linear(f"layers.{i}/out_proj", values, attention + "output.weight")
            self._behind_norm(f"layers.{i}/fc1", _norm(layer + "mlp_norm"), [layer + "mlp.up.weight"])
        if tower.projected_size:
            self._behind_norm("proj", _norm("norm"), ["projection.weight"])
        return self

    def _behind_norm(self, layer: str, norm: list[str], readers: list[str]) -> None:
        if layer in self._largest:
            factors = best_factors(self._largest[layer], _sampled(map(self._tensor, readers)))
            self._divide(norm, factors)
            self._multiply(readers, factors)

    def _behind_linear(self, layer: str, makers: list[str], reader: str, power: float = 1.0) -> None:
        """What `makers` make goes into the reader to the power 1 / `power`."""
        if layer in self._largest:
            factors = best_factors(self._largest[layer], _sampled([self._tensor(reader)]))
            self._divide(makers, factors**power)
            self._multiply([reader], factors)

    def _behind_values(self, layer: str, attention: str, shape: CachedAttention) -> None:
        """Query heads that share a head of values share its factors."""
        if layer not in self._largest:
            return
        heads = (shape.key_value_heads, shape.heads // shape.key_value_heads, shape.head_size)
        largest = shape.unpadded(self._largest[layer]).reshape(heads).max(1).ravel()
        reader = _sampled([self._tensor(attention + "output.weight")])
        shared = np.moveaxis(reader.reshape(-1, *heads), 2, 1).reshape(-1, largest.size)
        factors = best_factors(largest, shared)
        self._divide([attention + "value.weight"] + [attention + "value.bias"] * shape.biases, factors)
        each = np.repeat(factors.reshape(heads[0], 1, heads[2]), heads[1], 1).ravel()
        self._multiply([attention + "output.weight"], each)

    def _tensor(self, role: str):
        return self._tensors[self._names.name(role)]

    def _divide(self, roles: Iterable[str], factors: np.ndarray) -> None:
        for name in map(self._names.name, roles):
            self._rows[name] = 1 / factors

    def _multiply(self, roles: Iterable[str], factors: np.ndarray) -> None:
        for name in map(self._names.name, roles):
            self._columns[name] = factors


def best_factors(largest: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The factors [K] of least error for features of sizes `largest` [K] and a weight [N, K] that reads them.

    Each feature is divided by largest^e / its weight^(1 − e), for the exponent of `EXPONENTS` whose product has the least error; or
    by one.
    """
    columns = np.abs(weight).max(0)
    used = (largest > 0) & (columns > 0)
    best, least = np.ones(len(largest), np.float32), _error(largest, weight)
    if not used.any():
        return best
    for exponent in EXPONENTS:
        factors = np.ones(len(largest), np.float64)
        factors[used] = largest[used].astype(np.float64) ** exponent / columns[used].astype(np.float64) ** (1 - exponent)
        factors[used] /= np.exp(np.log(factors[used]).mean())
        factors = np.clip(factors, 1e-4, 1e4).astype(np.float32)
        error = _error(largest / factors, weight * factors)
        if error < least:
            best, least = factors, error
    return best


def _error(largest: np.ndarray, weight: np.ndarray) -> float:
    """The square of the error of a product by rows, up to a factor: that of rounded activations, and that of rounded weights.

    A feature is taken to be a quarter of its largest size, as normal numbers are.
    """
    activations = largest.max() ** 2 * np.square(weight).sum()
    return float(activations + np.square(np.abs(weight).max(1)).sum() * np.square(largest / 4).sum())


def _sampled(weights: Iterable) -> np.ndarray:
    """Some rows of the weights, one below the other."""
    found = []
    for weight in weights:
        step = -(-weight.shape[0] // _SAMPLES)
        found += [slab[::step] for slab in slabs(weight)]
    return np.concatenate(found)


def _norm(role: str) -> list[str]:
    return [role + ".weight", role + ".bias"]


def _projections(attention: str) -> list[str]:
    return [attention + f"{role}.weight" for role in ("query", "key", "value")]
