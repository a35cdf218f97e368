"""`RowProducts`: linear layers in 8 bits whose scales belong to whole rows of activations and whole columns of weights.

A row x of activations becomes unsigned bytes round(x / m · range) + zero, m being its largest magnitude; the weight is
signed bytes [in, out], a scale for each output. Their product in integers is one call of the processor's dot products
(VNNI), where `MatMulNBits` sums each block by itself. Processors without VNNI add pairs of products in 16 bits, which
overflow: the form is for those that have it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .quantize import QuantizedRows, quantize_columns

CONTRIB = "com.microsoft"
SHIFT = 32
"""The byte that stands for zero in rows that reach a little below it."""
_SMALLEST = 1e-30
"""Stands for the largest magnitude of a row of zeros."""


@dataclass(frozen=True)
class Quantized:
    """A value as unsigned bytes: u stands for (u − zero) / range · magnitude of its row."""

    bytes: str
    magnitudes: str
    step: str
    zero: str


class Operators(Protocol):
    """What a `GraphBuilder` does for the products."""

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes) -> str: ...

    def constant(self, value, dtype=None) -> str: ...


class RowProducts:
    """The products of one graph."""

    def __init__(self, graph: Operators):
        self._graph = graph
        self._inputs: dict[tuple[str, float | None], Quantized] = {}

    def product(self, x: str, weight, quantize: Callable[..., QuantizedRows], least: float | None = None) -> str:
        """x · weightᵀ for weight [out, in], whose rows `quantize` rounds as `quantize_rows` does.

        No element of x is below `least`, where that is known to be zero or a little less.
        """
        graph = self._graph
        into = self._quantized(x, least)
        values, scales = quantize_columns(weight, quantize)
        product = graph.op(
            "MatMulIntegerToFloat", into.bytes, graph.constant(values, np.int8), into.step, graph.constant(scales), into.zero,
            domain=CONTRIB,
        )  # fmt: skip
        return graph.op("Mul", product, into.magnitudes)

    def _quantized(self, x: str, least: float | None) -> Quantized:
        """x in bytes; layers that share an input share its bytes."""
        if (x, least) not in self._inputs:
            self._inputs[x, least] = self._quantize(x, least)
        return self._inputs[x, least]

    def _quantize(self, x: str, least: float | None) -> Quantized:
        graph, zero, floor = self._graph, *_zero_and_floor(least)
        extremes = graph.op("Abs", x) if least is None else x
        largest = graph.op("ReduceMax", extremes, graph.constant([-1]), keepdims=1)
        magnitudes = graph.op("Max", largest, graph.constant(floor))
        step, shift = graph.constant(1 / steps_of(least)), graph.constant(zero, np.uint8)
        return Quantized(graph.op("QuantizeLinear", graph.op("Div", x, magnitudes), step, shift), magnitudes, step, shift)


def steps_of(least: float | None) -> int:
    """The steps from zero to the largest magnitude of a row."""
    return 255 - _zero_and_floor(least)[0]


def least_magnitude(least: float | None) -> float:
    """What a row is divided by where all its elements are smaller: its small elements have fewer steps then."""
    return _zero_and_floor(least)[1]


def _zero_and_floor(least: float | None) -> tuple[int, float]:
    """The byte that stands for zero, and the least magnitude that a row is given so that `least` still has a byte.

    Rows of both signs have 127 steps either way.
    """
    if least is None:
        return 128, _SMALLEST
    if least == 0:
        return 0, _SMALLEST
    return SHIFT, -least * (255 - SHIFT) / SHIFT
