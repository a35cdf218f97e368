"""`RowProducts`: linear layers in 8 bits with scales for whole rows of activations and whole columns of weights.

A row x of activations becomes unsigned bytes round(x / m · range) + zero, where m is its largest magnitude; the weight is
signed bytes [in, out] with a scale for each output. Their integer product is one call of the processor's dot products
(VNNI), whereas `MatMulNBits` sums each block separately. Processors without VNNI add pairs of products in 16 bits, which
overflow, so they do not get this form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .quantize import QuantizedRows, quantize_columns

CONTRIB = "com.microsoft"
SHIFT = 32
"""The byte of zero in rows that reach slightly below it."""
_SMALLEST = 1e-30
"""Minimum magnitude of a row, used for rows of zeros."""


@dataclass(frozen=True)
class Quantized:
    """A value as unsigned bytes: u represents (u − zero) / range · magnitude of its row."""

    bytes: str
    magnitudes: str
    step: str
    zero: str


class Operators(Protocol):
    """The methods of `GraphBuilder` that the products use."""

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes) -> str: ...

    def constant(self, value, dtype=None) -> str: ...


class RowProducts:
    """The products of one graph."""

    def __init__(self, graph: Operators):
        self._graph = graph
        self._inputs: dict[tuple[str, float | None], Quantized] = {}

    def product(self, x: str, weight, quantize: Callable[..., QuantizedRows], least: float | None = None) -> str:
        """x · weightᵀ for weight [out, in], whose rows are rounded by `quantize`, with the contract of `quantize_rows`.

        `least`, if known to be zero or slightly less, is a lower bound of the elements of x.
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
        """Quantizes x to bytes, once for all layers that read it."""
        if (x, least) not in self._inputs:
            self._inputs[x, least] = self._quantize(x, least)
        return self._inputs[x, least]

    def _quantize(self, x: str, least: float | None) -> Quantized:
        graph = self._graph
        zero, floor = _zero_and_floor(least)
        extremes = graph.op("Abs", x) if least is None else x
        largest = graph.op("ReduceMax", extremes, graph.constant([-1]), keepdims=1)
        magnitudes = graph.op("Max", largest, graph.constant(floor))
        step = graph.constant(1 / steps_of(least))
        shift = graph.constant(zero, np.uint8)
        return Quantized(graph.op("QuantizeLinear", graph.op("Div", x, magnitudes), step, shift), magnitudes, step, shift)


def steps_of(least: float | None) -> int:
    """Returns the number of steps from zero to the largest magnitude of a row."""
    return 255 - _zero_and_floor(least)[0]


def least_magnitude(least: float | None) -> float:
    """Returns the minimum divisor of a row, used if all elements are smaller: small elements then have fewer steps."""
    return _zero_and_floor(least)[1]


def _zero_and_floor(least: float | None) -> tuple[int, float]:
    """Returns the byte of zero, and the minimum magnitude of a row at which `least` still has a byte.

    Rows of both signs have 127 steps in each direction.
    """
    if least is None:
        return 128, _SMALLEST
    if least == 0:
        return 0, _SMALLEST
    return SHIFT, -least * (255 - SHIFT) / SHIFT
