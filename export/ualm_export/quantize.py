"""Quantization of linear weights: in blocks, as in ONNX Runtime's `MatMulNBits`, or with a scale for each output."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import ExportError
from .weight_file import slabs

BLOCK = 32
"""Minimum number of input features that share a scale."""

_CLIPPED = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Fractions of the largest magnitude that are tried for scales."""


@dataclass(frozen=True)
class QuantizedRows:
    """Rows of a weight [N, K], quantized symmetrically in blocks along K.

    values: uint8 [N, blocks, block × bits / 8]; scales: float32 [N, blocks]. With 4 bits the lower
    half of a byte holds the even feature. A stored value q represents (q − 2^(bits−1)) × scale.
    """

    values: np.ndarray
    scales: np.ndarray


def blocks_of(features: int, block: int = BLOCK) -> int:
    """Returns the number of blocks that cover `features`; the last one may be padded with zeros."""
    return -(-features // block)


def fitting_block(features: int, most: int) -> int:
    """Returns the largest block up to `most` that adds no more zeros than the smallest block does."""
    block = most
    while block > BLOCK and blocks_of(features, block) * block > blocks_of(features) * BLOCK:
        block //= 2
    return block


def in_blocks(weight: np.ndarray, block: int) -> np.ndarray:
    """Reshapes float rows [N, K] to [N, blocks, block], padded with zeros; refuses values that are not finite."""
    if not np.isfinite(weight).all():
        raise ExportError("a weight that is to be quantized holds values that are not finite; are the weights damaged?")
    rows, features = weight.shape
    padded = np.zeros((rows, blocks_of(features, block) * block), np.float32)
    padded[:, :features] = weight
    return padded.reshape(rows, -1, block)


def quantize_rows(weight: np.ndarray, bits: int, block: int = BLOCK) -> QuantizedRows:
    """Quantizes float rows [N, K] to `bits` (4 or 8) bits, each element to the nearest value."""
    blocks = in_blocks(weight, block)
    scales = scales_of(blocks, bits)
    return packed(rounded(blocks, scales[..., None], bits), scales, bits)


def scales_of(blocks: np.ndarray, bits: int) -> np.ndarray:
    """Returns the scales [N, blocks] of float blocks [N, blocks, block].

    With 8 bits the extremes are exact. With 4 bits the squared error is minimal: a coarse grid benefits from a smaller range.
    """
    scales = extreme_scales(blocks, bits)
    return scales if bits == 8 else _least_squares_scales(blocks, scales, bits)


def extreme_scales(blocks: np.ndarray, bits: int) -> np.ndarray:
    """Returns scales that carry the sign of each block's extreme value.

    The extreme then meets the end of the integer range that reaches one further (−8 of −8..=7).
    """
    largest = np.abs(blocks).argmax(-1)[..., None]
    return np.take_along_axis(blocks, largest, -1)[..., 0] / -(1 << (bits - 1))


def _least_squares_scales(blocks: np.ndarray, extremes: np.ndarray, bits: int) -> np.ndarray:
    """Returns the best of several scales, each optimal for the integers of a clipped range."""
    best = extremes
    most = np.full(extremes.shape, -np.inf, np.float32)
    for clipped in _CLIPPED:
        values = rounded(blocks, (extremes * np.float32(clipped))[..., None], bits)
        product = np.einsum("nbk,nbk->nb", blocks, values)
        square = np.einsum("nbk,nbk->nb", values, values)
        scales = np.divide(product, square, out=np.zeros_like(product), where=square > 0)
        explained = product * scales  # the squared error is the block's square minus this
        best = np.where(explained > most, scales, best)
        most = np.maximum(explained, most)
    return best


def rounded(values: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    """Returns the nearest integers −2^(bits−1)..=2^(bits−1) − 1, as floats; `scales` broadcasts against `values`."""
    half = 1 << (bits - 1)
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0)
    return np.clip(np.rint(values * inverse), -half, half - 1)


def packed(values: np.ndarray, scales: np.ndarray, bits: int) -> QuantizedRows:
    """Packs integers [N, blocks, block] into the stored form."""
    stored = (values + (1 << (bits - 1))).astype(np.uint8)
    if bits == 4:
        stored = stored[..., 0::2] | (stored[..., 1::2] << 4)
    return QuantizedRows(stored, scales.astype(np.float32))


def dequantize_rows(quantized: QuantizedRows, features: int, bits: int) -> np.ndarray:
    """Returns the float rows [N, features] that `quantized` represents."""
    values = quantized.values
    if bits == 4:
        values = np.stack([values & 15, values >> 4], -1).reshape(*values.shape[:-1], -1)
    centred = values.astype(np.float32) - (1 << (bits - 1))
    return (centred * quantized.scales[..., None]).reshape(len(values), -1)[:, :features]


def quantize_columns(weight, quantize: Callable[[np.ndarray, int, int], QuantizedRows]) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes a weight [N, K], an array or a lazy tensor, to signed bytes with one scale for each row.

    Returns the bytes transposed, [K, N], as an integer product reads them, and the scales, float32 [N]. `quantize` is
    `quantize_rows` or a function with the same contract.
    """
    outputs, features = weight.shape
    values = np.empty((features, outputs), np.int8)
    scales = np.empty(outputs, np.float32)
    start = 0
    for slab in slabs(weight):
        end = start + len(slab)
        quantized = quantize(slab, 8, features)
        values[:, start:end] = (quantized.values[:, 0] ^ 128).view(np.int8).T
        scales[start:end] = quantized.scales[:, 0]
        start = end
    return values, scales
