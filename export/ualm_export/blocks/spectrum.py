"""Short-time Fourier transforms as convolution kernels."""

import numpy as np


def hann(n_fft: int) -> np.ndarray:
    """Returns the periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def sine(n_fft: int) -> np.ndarray:
    """Returns the sine window, whose square and its shift by half a window add up to 1."""
    return np.sin(np.pi * (np.arange(n_fft) + 0.5) / n_fft)


def dft_basis(n_fft: int) -> np.ndarray:
    """Returns the DFT after a Hann window as kernels [2 · bins, 1, n_fft]: real parts, then imaginary parts."""
    basis = np.concatenate([np.cos(_angles(n_fft)), -np.sin(_angles(n_fft))]) * hann(n_fft)
    return basis[:, None].astype(np.float32)


def inverse_dft_basis(window: np.ndarray, hop: int) -> np.ndarray:
    """Returns inverse DFT, window and division by the window sum as kernels [2 · bins, 1, n_fft]."""
    n_fft = len(window)
    weights = np.full((n_fft // 2 + 1, 1), 2.0)
    weights[0] = weights[-1] = 1.0
    basis = np.concatenate([weights * np.cos(_angles(n_fft)), -weights * np.sin(_angles(n_fft))]) / n_fft
    return (basis * window / (np.square(window).sum() / hop))[:, None].astype(np.float32)


def _angles(n_fft: int) -> np.ndarray:
    return 2 * np.pi * np.arange(n_fft // 2 + 1)[:, None] * np.arange(n_fft) / n_fft
