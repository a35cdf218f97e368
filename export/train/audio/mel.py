"""Mel filter banks with the Slaney scale and norm, as in Whisper's front end."""

from __future__ import annotations

import numpy as np

_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _to_mel(hz: np.ndarray) -> np.ndarray:
    above = _BREAK_MEL + np.log(np.maximum(hz, 1e-10) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz >= _BREAK_HZ, above, hz / _HZ_PER_MEL)


def _to_hz(mel: np.ndarray) -> np.ndarray:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel >= _BREAK_MEL, above, mel * _HZ_PER_MEL)


def filter_bank(n_fft: int, num_mel_bins: int, sampling_rate: int) -> np.ndarray:
    """Builds triangular filters [num_mel_bins, n_fft / 2 + 1]."""
    top = sampling_rate / 2
    edges = _to_hz(np.linspace(0.0, _to_mel(np.array(top)), num_mel_bins + 2))
    frequencies = np.linspace(0.0, top, n_fft // 2 + 1)
    slopes = edges[:, None] - frequencies
    widths = np.diff(edges)[:, None]
    rising = -slopes[:-2] / widths[:-1]
    falling = slopes[2:] / widths[1:]
    norm = 2.0 / (edges[2:] - edges[:-2])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling)) * norm
