"""Whisper's log-mel front end as Qwen2.5-Omni uses it: normalised waveform, no padding to 30 s."""

from __future__ import annotations

import numpy as np

from . import SAMPLING_RATE
from .mel import filter_bank

N_FFT = 400
HOP = 160
MEL_BINS = 128

_WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
_BANK = filter_bank(N_FFT, MEL_BINS, SAMPLING_RATE).T


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Computes the log-mel spectrum of [samples] at 16 kHz: [128, samples // 160]."""
    return of_power(power_spectrum(samples))


def power_spectrum(samples: np.ndarray) -> np.ndarray:
    """Computes the power spectrum [frames, N_FFT / 2 + 1] of the normalised waveform."""
    x = samples.astype(np.float64)
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    padded = np.pad(x, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][: len(x) // HOP]
    return np.abs(np.fft.rfft(frames * _WINDOW, axis=-1)) ** 2


def of_power(power: np.ndarray) -> np.ndarray:
    """Computes the log-mel spectrum of a power spectrum."""
    mel = np.log10(np.maximum(power @ _BANK, 1e-10)).T
    return ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
