"""Smoothing of the inputs of linear layers: large features are scaled down (arXiv 2211.10438).

A scale for a whole row leaves few steps to the small features beside a large one. The producer of the row, a norm or another
linear layer, is divided by a factor for each feature, and the weight that reads the row is multiplied by it: in exact
arithmetic nothing changes. `Smoothing` finds the factors for the layers of a decoder or a tower, and returns its tensors with
the factors applied, from which graphs are built as usual.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .blocks.activation import LEAST
from .blocks.attention import CachedAttention
from .blocks.decoder_stack import DecoderStack
from .blocks.mlp import GatedMlp, PlainMlp
from .blocks.whisper_tower import WhisperTower
from .names import Names
from .row_products import least_magnitude, steps_of
from .weight_file import slabs

EXPONENTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of a feature's magnitude that may move into the weight; the best of them is chosen."""
_SAMPLES = 512
"""Rows of a weight used to compare factors."""


class Stretched:
    """A lazy tensor whose rows and columns are multiplied by factors."""

    def __init__(self, tensor, rows: np.ndarray | None, columns: np.ndarray | None):
        self.shape = tensor.shape
        self._tensor = tensor
        self._rows = rows
        self._columns = columns

    def __getitem__(self, rows) -> np.ndarray:
        found = self._tensor[rows]
        if self._columns is not None:
            found = found * self._columns
        if self._rows is not None:
            found = found * self._rows[rows].reshape(-1, *[1] * (len(self.shape) - 1))
        return found


@dataclass(frozen=True)
class StretchedTensors(Mapping):
    """Tensors by name, with factors applied."""

    tensors: Mapping
    rows: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray]

    def __getitem__(self, name: str):
        rows = self.rows.get(name)
        columns = self.columns.get(name)
        return self.tensors[name] if rows is None and columns is None else Stretched(self.tensors[name], rows, columns)

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


class Inputs(Protocol):
    """Statistics of the inputs of a linear layer of K features."""

    largest: np.ndarray
    """The largest magnitude of each feature, float32 [K]."""

    def examples(self) -> np.ndarray:
        """Returns some of the inputs, float32 [positions, K]."""

    def moments(self) -> np.ndarray:
        """Returns the mean of x xᵀ over the inputs x, float32 [K, K]."""


@dataclass(frozen=True)
class SmoothedInputs:
    """The inputs of a linear layer, divided by factors."""

    inputs: Inputs
    factors: np.ndarray

    def moments(self) -> np.ndarray:
        return self.inputs.moments() / np.outer(self.factors, self.factors)


class Smoothing:
    """The factors of the tensors of a part, whose names are `names`.

    `inputs` are those of linear layers, by the layer's scoped name; other layers stay unchanged.
    """

    def __init__(self, tensors: Mapping, names: Names, inputs: Mapping[str, Inputs]):
        self._tensors = tensors
        self._names = names
        self._inputs = inputs
        self._rows: dict[str, np.ndarray] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._factors: dict[str, np.ndarray] = {}
        self._errors: dict[str, float] = {}

    def sensitive(self, bound: float) -> frozenset[str]:
        """Returns the layers that lose more than `bound` of their outputs' norm by rows, in spite of the factors."""
        return frozenset(layer for layer, error in self._errors.items() if error > bound)

    def tensors(self) -> StretchedTensors:
        """Returns the tensors with the factors applied."""
        return StretchedTensors(self._tensors, self._rows, self._columns)

    def inputs(self) -> dict[str, Inputs | SmoothedInputs]:
        """Returns the inputs of the linear layers of these tensors."""
        factors = self._factors
        return {
            layer: SmoothedInputs(inputs, factors[layer]) if layer in factors else inputs for layer, inputs in self._inputs.items()
        }

    def decoder(self, stack: DecoderStack, keeps_cache: bool = False) -> "Smoothing":
        """Smooths a decoder. With `keeps_cache` it writes the same keys and values as without factors, because another form reads them."""
        for i in range(stack.layers):
            scope = f"layers.{i}/"
            layer = f"layers.{i}."
            self._behind_norm([scope + "qkv_proj"], [layer + "attention_norm.weight"], _projections(layer + "attention."))
            self._behind_values(scope + "o_proj", layer + "attention.", stack.attention, keeps_cache)
            mlp = layer + "mlp."
            if isinstance(stack.mlp, GatedMlp):
                layers = [scope + "up_proj", scope + "gate_proj"]
                readers = [mlp + "up.weight", mlp + "gate.weight"]
                self._behind_norm(layers, [layer + "mlp_norm.weight"], readers)
                self._behind_linear(scope + "down_proj", [mlp + "up.weight"], mlp + "down.weight")
            else:
                self._behind_norm([scope + "up_proj"], [layer + "mlp_norm.weight"], [mlp + "up.weight"])
                self._behind_activation(scope + "down_proj", stack.mlp, mlp)
        return self

    def tower(self, tower: WhisperTower) -> "Smoothing":
        for i in range(tower.layers):
            scope = f"layers.{i}/"
            layer = f"layers.{i}."
            attention = layer + "attention."
            layers = [scope + "q_proj", scope + "k_proj", scope + "v_proj"]
            self._behind_norm(layers, _norm(layer + "attention_norm"), _projections(attention))
            values = [attention + "value.weight", attention + "value.bias"]
            self._behind_linear(scope + "out_proj", values, attention + "output.weight")
            self._behind_norm([scope + "fc1"], _norm(layer + "mlp_norm"), [layer + "mlp.up.weight"])
            self._judge(scope + "fc2", layer + "mlp.down.weight", LEAST["gelu"])
        if tower.projected_size:
            self._behind_norm(["proj"], _norm("norm"), ["projection.weight"])
        return self

    def _behind_norm(self, layers: list[str], norm: list[str], readers: list[str]) -> None:
        """Smooths the output of a norm, which `layers` read with the weights `readers`."""
        if layers[0] in self._inputs:
            inputs = self._inputs[layers[0]]
            factors, error = best_factors(inputs.largest, inputs.examples(), self._sampled(readers))
            self._errors |= dict.fromkeys(layers, error)
            self._divide(norm, factors)
            self._multiply(layers, readers, factors)

    def _behind_linear(
        self, layer: str, makers: list[str], reader: str, power: float = 1.0, least: float | None = None
    ) -> None:
        """Smooths the output of `makers`, to the power 1 / `power`, which `layer` reads with the weight `reader`."""
        if layer in self._inputs:
            inputs = self._inputs[layer]
            factors, self._errors[layer] = best_factors(
                inputs.largest, inputs.examples(), self._sampled([reader]), steps_of(least)
            )
            self._divide(makers, factors**power)
            self._multiply([layer], [reader], factors)

    def _judge(self, layer: str, reader: str, least: float) -> None:
        """Records the error of a layer whose input has no factors; no element of the input is below `least`."""
        if layer in self._inputs:
            inputs = self._inputs[layer].examples()
            weight = self._sampled([reader])
            self._errors[layer] = _error(inputs, weight, inputs @ weight.T, steps_of(least), least_magnitude(least))

    def _behind_activation(self, layer: str, mlp: PlainMlp, roles: str) -> None:
        """Smooths the input of the down projection. Of the activations, only relu2 passes a factor on."""
        if mlp.activation == "relu2":
            self._behind_linear(layer, [roles + "up.weight"], roles + "down.weight", power=0.5, least=LEAST["relu2"])
        else:
            self._judge(layer, roles + "down.weight", LEAST[mlp.activation])

    def _behind_values(self, layer: str, attention: str, shape: CachedAttention, kept: bool) -> None:
        """Smooths the values. Query heads that share a head of values share its factors; values that are `kept` have none."""
        if layer not in self._inputs:
            return
        heads = (shape.key_value_heads, shape.heads // shape.key_value_heads, shape.head_size)
        inputs = self._inputs[layer]
        reader = self._sampled([attention + "output.weight"])
        examples = shape.unpadded(inputs.examples())
        if kept:
            self._errors[layer] = _error(examples, reader, examples @ reader.T, steps_of(None))
            return
        largest = shape.unpadded(inputs.largest).reshape(heads).max(1).ravel()
        shared = [np.moveaxis(x.reshape(-1, *heads), 2, 1).reshape(-1, largest.size) for x in (examples, reader)]
        factors, self._errors[layer] = best_factors(largest, *shared)
        self._divide([attention + "value.weight"] + [attention + "value.bias"] * shape.biases, factors)
        each = np.repeat(factors.reshape(heads[0], 1, heads[2]), heads[1], 1).ravel()
        self._multiply([], [attention + "output.weight"], each)
        self._factors[layer] = shape.padded(each)

    def _sampled(self, roles: Iterable[str]) -> np.ndarray:
        """Returns some rows of weights, concatenated."""
        found = []
        for weight in (self._tensors[self._names.name(role)] for role in roles):
            step = -(-weight.shape[0] // _SAMPLES)
            found += [slab[::step] for slab in slabs(weight)]
        return np.concatenate(found)

    def _divide(self, roles: Iterable[str], factors: np.ndarray) -> None:
        for name in map(self._names.name, roles):
            self._rows[name] = 1 / factors

    def _multiply(self, layers: Iterable[str], roles: Iterable[str], factors: np.ndarray) -> None:
        self._factors |= dict.fromkeys(layers, factors)
        for name in map(self._names.name, roles):
            self._columns[name] = factors


def best_factors(
    largest: np.ndarray, inputs: np.ndarray, weight: np.ndarray, steps: int = 127
) -> tuple[np.ndarray, float]:
    """Returns the factors [K] by which inputs [positions, K] are divided for the least error of their product by a weight [N, K].

    Each factor is largest^e / weight^(1 − e), of the largest magnitudes of the feature and of its weights, with the best exponent
    of `EXPONENTS`; or one. Also returns the error, relative to the product. Rows have `steps` steps to their largest magnitude.
    """
    largest = largest.astype(np.float64)
    columns = np.abs(weight).max(0).astype(np.float64)
    used = (largest > 0) & (columns > 0)
    best = np.ones(len(largest), np.float32)
    exact = inputs @ weight.T
    least = _error(inputs, weight, exact, steps)
    for exponent in EXPONENTS if used.any() else ():
        factors = np.ones(len(largest))
        factors[used] = largest[used] ** exponent / columns[used] ** (1 - exponent)
        factors[used] /= np.exp(np.log(factors[used]).mean())
        factors = np.clip(factors, 1e-4, 1e4).astype(np.float32)
        error = _error(inputs / factors, weight * factors, exact, steps)
        if error < least:
            best = factors
            least = error
    return best, least


def _error(inputs: np.ndarray, weight: np.ndarray, exact: np.ndarray, steps: int, magnitude: float = 0.0) -> float:
    """Returns the error of a product by rows, relative to each row's norm: the root of the mean square."""
    errors = np.square(_rounded(inputs, steps, magnitude) @ _rounded(weight, 127).T - exact).sum(-1)
    norms = np.square(exact).sum(-1)
    return math.sqrt(np.divide(errors, norms, out=np.zeros_like(errors), where=norms > 0).mean())


def _rounded(rows: np.ndarray, steps: int, magnitude: float = 0.0) -> np.ndarray:
    """Rounds rows in `steps` steps to their largest magnitude, at least `magnitude`."""
    step = np.maximum(np.abs(rows).max(-1, keepdims=True), np.float32(magnitude)) / steps
    return np.rint(np.divide(rows, step, out=np.zeros_like(rows), where=step > 0)) * step


def _norm(role: str) -> list[str]:
    return [role + ".weight", role + ".bias"]


def _projections(attention: str) -> list[str]:
    return [attention + f"{role}.weight" for role in ("query", "key", "value")]
