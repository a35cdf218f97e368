"""Quantization with error feedback (GPTQ, arXiv 2210.17323), for layers whose inputs are known.

Features are rounded one after the other, those with the largest inputs first. The rounding error of a feature is compensated
by the features after it, as far as their inputs correlate: this minimizes the error of the layer's output instead of that
of the weight. The rows of a weight are independent.
"""

import numpy as np

from .errors import ExportError
from .quantize import QuantizedRows, in_blocks, packed, rounded, scales_of

_DAMPING = 0.3
"""Added to the moments' diagonal, relative to its mean. Large, because later inputs differ from the observed ones."""
_COLUMNS = 128
"""Features whose errors are propagated together."""
_LEAF = 256


class ErrorFeedback:
    def __init__(self, moments: np.ndarray):
        """`moments` [K, K]: the mean of x xᵀ over the layer's inputs x."""
        self._order = np.argsort(-np.diag(moments), kind="stable")
        self._factor = _inverse_factor(moments[np.ix_(self._order, self._order)])

    def quantize_rows(self, weight: np.ndarray, bits: int, block: int) -> QuantizedRows:
        """Quantizes float rows [N, K] in blocks of features; see `quantize.quantize_rows` for the form."""
        blocks = in_blocks(weight, block)
        scales = scales_of(blocks, bits)
        values = np.zeros_like(blocks).reshape(len(weight), -1)
        values[:, self._order] = self._rounded(weight.T[self._order], scales.T[self._order // block], bits).T
        return packed(values.reshape(blocks.shape), scales, bits)

    def _rounded(self, columns: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
        """Rounds the columns [K, N] of a weight in order, with scales [K, N], to integers."""
        values = np.empty(columns.shape, np.float32)
        columns = np.array(columns, np.float32)
        for start in range(0, len(columns), _COLUMNS):
            stop = min(start + _COLUMNS, len(columns))
            errors = np.empty((stop - start, columns.shape[1]), np.float32)
            for k in range(start, stop):
                values[k] = rounded(columns[k], scales[k], bits)
                error = (columns[k] - values[k] * scales[k]) / self._factor[k, k]
                columns[k + 1 : stop] -= np.outer(self._factor[k, k + 1 : stop], error)
                errors[k - start] = error
            columns[stop:] -= self._factor[start:stop, stop:].T @ errors
        return values


def _inverse_factor(moments: np.ndarray) -> np.ndarray:
    """Returns the upper triangular U of (moments, damped)⁻¹ = Uᵀ U.

    For moments = R Rᵀ with an upper triangular R, which is the Cholesky factor of the reversed moments, U = R⁻¹. Features
    without inputs get an independent input of their own size.
    """
    damped = moments.astype(np.float64)
    diagonal = np.diag(damped).copy()
    mean = diagonal.mean() or 1.0
    diagonal[diagonal == 0] = mean
    damped[np.diag_indices_from(damped)] = diagonal + _DAMPING * mean
    if not np.isfinite(damped).all():
        raise ExportError("a layer reads values whose squares are not finite; are the weights damaged? (else --no-calibration)")
    lower = np.linalg.cholesky(damped[::-1, ::-1])
    return np.ascontiguousarray(_inverse_of_lower(lower)[::-1, ::-1], np.float32)


def _inverse_of_lower(lower: np.ndarray) -> np.ndarray:
    """Inverts a lower triangular matrix by recursive halving."""
    size = len(lower)
    if size <= _LEAF:
        return np.linalg.inv(lower)
    half = size // 2
    inverse = np.zeros_like(lower)
    first = _inverse_of_lower(lower[:half, :half])
    last = _inverse_of_lower(lower[half:, half:])
    inverse[:half, :half] = first
    inverse[half:, half:] = last
    inverse[half:, :half] = -last @ (lower[half:, :half] @ first)
    return inverse
