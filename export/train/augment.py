"""Small random changes that leave what a clip is as it was."""

from __future__ import annotations

import random

import numpy as np
import soxr

from recordings import SAMPLING_RATE


def change_speed(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Plays faster or slower (pitch and tempo together)."""
    speed = random.uniform(low, high)
    return soxr.resample(samples, SAMPLING_RATE * speed, SAMPLING_RATE, quality="LQ").astype(np.float32)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2) + 1e-10))


def loud(samples: np.ndarray, peak: float) -> np.ndarray:
    return samples * (peak / (np.abs(samples).max() + 1e-6))


def trim_silence(samples: np.ndarray, threshold: float = 0.003, margin: float = 0.15) -> np.ndarray:
    """Cuts silence off both ends, leaving `margin` seconds; `threshold` is relative to the loudest sample."""
    loud = np.flatnonzero(np.abs(samples) > threshold * np.abs(samples).max())
    if loud.size == 0:
        return samples
    edge = int(margin * SAMPLING_RATE)
    return samples[max(0, loud[0] - edge) : loud[-1] + edge]


def crop(samples: np.ndarray, length: int, tries: int = 4) -> np.ndarray:
    """`length` samples from a random place, the loudest of a few tries; shorter clips stay whole."""
    if len(samples) <= length:
        return samples
    starts = [random.randrange(len(samples) - length) for _ in range(random.randint(1, tries))]
    return max((samples[s : s + length] for s in starts), key=level)


def mix(samples: np.ndarray, other: np.ndarray, decibels: float) -> np.ndarray:
    """Adds `other`, `decibels` quieter, repeated or cut to the same length."""
    repeated = np.resize(other, len(samples))
    return samples + repeated * (level(samples) / level(other) * 10 ** (-decibels / 20))


def add_noise(samples: np.ndarray, low: float = 15.0, high: float = 50.0) -> np.ndarray:
    """Adds noise with a random spectral slope, `low` to `high` decibels quieter."""
    size = 1 << (len(samples) - 1).bit_length()
    spectrum = np.fft.rfft(np.random.randn(size))
    slope = random.uniform(0.0, 1.0)
    spectrum *= np.maximum(1.0, np.arange(len(spectrum))) ** -slope
    noise = np.fft.irfft(spectrum, size)
    return mix(samples, noise, random.uniform(low, high)).astype(np.float32)


def tilt_spectrum(mel: np.ndarray, strength: float = 0.15) -> np.ndarray:
    """Adds a smooth random curve over the mel bins: another microphone, another room."""
    knots = np.random.uniform(-strength, strength, 6)
    curve = np.interp(np.linspace(0, 5, mel.shape[0]), np.arange(6), knots)
    return mel + curve[:, None].astype(np.float32)


def mask_spectrum(mel: np.ndarray, max_bins: int = 24, max_frames: int = 25) -> np.ndarray:
    """SpecAugment: blanks up to two bands of bins and two stretches of frames."""
    mel, blank = mel.copy(), float(mel.mean())
    for _ in range(random.randint(0, 2)):
        width = random.randint(0, max_bins)
        start = random.randrange(mel.shape[0] - width)
        mel[start : start + width] = blank
    for _ in range(random.randint(0, 2)):
        width = random.randint(0, min(max_frames, mel.shape[1] // 5))
        start = random.randrange(mel.shape[1] - width)
        mel[:, start : start + width] = blank
    return mel
