"""Quantization of linear weights: in blocks, as ONNX Runtime's `MatMulNBits` has them, or with a scale for each output."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BLOCK = 32
"""Input features that share one scale."""


@dataclass(frozen=True)
class QuantizedRows:
    """Rows of a weight [N, K], quantized symmetrically in blocks of `BLOCK` along K.

    values: uint8 [N, blocks, BLOCK × bits / 8]; scales: float32 [N, blocks]. With 4 bits the lower
    half of a byte holds the even feature. A stored value q stands for (q − 2^(bits−1)) × scale.
    """

    values: np.ndarray
    scales: np.ndarray


def blocks_of(features: int) -> int:
    """Blocks that cover `features`; the last one may be filled up with zeros."""
    return -(-features // BLOCK)


def quantize_rows(weight: np.ndarray, bits: int) -> QuantizedRows:
    """Quantizes float rows [N, K] to `bits` (4 or 8) bits.

    The scale carries the sign of each block's extreme value, so that the extreme meets the end of the
    integer range that reaches one further (−8 of −8 … 7).
    """
    rows, features = weight.shape
    blocks = blocks_of(features)
    padded = np.zeros((rows, blocks * BLOCK), np.float32)
    padded[:, :features] = weight
    padded = padded.reshape(rows, blocks, BLOCK)

    half = 1 << (bits - 1)
    largest = np.abs(padded).argmax(-1)[..., None]
    scales = np.take_along_axis(padded, largest, -1) / -half
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0)
    values = np.clip(np.rint(padded * inverse) + half, 0, 2 * half - 1).astype(np.uint8)
    if bits == 4:
        values = values[..., 0::2] | (values[..., 1::2] << 4)
    return QuantizedRows(values, scales[..., 0])


def dequantize_rows(quantized: QuantizedRows, features: int, bits: int) -> np.ndarray:
    """The float rows [N, features] that `quantized` stands for."""
    values = quantized.values
    if bits == 4:
        values = np.stack([values & 15, values >> 4], -1).reshape(*values.shape[:-1], BLOCK)
    centred = values.astype(np.float32) - (1 << (bits - 1))
    return (centred * quantized.scales[..., None]).reshape(len(values), -1)[:, :features]


CLIPS = np.linspace(1.0, 0.7, 7, dtype=np.float32)
"""The parts of an output's largest weight that are tried for the end of its integers' range."""


def quantize_columns(slabs: Iterable[np.ndarray], outputs: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes a weight [outputs, features], given in slabs of rows, to signed bytes with a scale for each output.

    Gives the bytes as a product reads them, [features, outputs], and the scales, float32 [outputs]. A scale is the one of
    least square error among those of `CLIPS`.
    """
    values, scales = np.empty((features, outputs), np.int8), np.empty(outputs, np.float32)
    start = 0
    for slab in slabs:
        end = start + len(slab)
        scales[start:end] = _clipped_scales(slab)
        values[:, start:end] = _signed_bytes(slab, scales[start:end]).T
        start = end
    return values, scales


def _clipped_scales(rows: np.ndarray) -> np.ndarray:
    largest = np.abs(rows).max(-1) / 127
    best, least = largest, np.full(len(rows), np.inf, np.float32)
    for clip in CLIPS:
        scales = largest * clip
        errors = np.square(_signed_bytes(rows, scales) * scales[:, None] - rows).sum(-1)
        best, least = np.where(errors < least, scales, best), np.minimum(errors, least)
    return best


def _signed_bytes(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    return np.clip(np.rint(rows * inverse[:, None]), -127, 127).astype(np.int8)
