"""Small random changes of a clip that keep its label true."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import soxr

from . import SAMPLING_RATE
from .log_mel import N_FFT

ENVELOPE_COEFFICIENTS = 36  # of the cepstrum: the lower ones describe the vocal tract, the higher ones the pitch
EQUALIZER_KNOTS = (100, 300, 800, 1600, 3200, 8000)  # hertz


def change_speed(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Plays `samples` faster or slower: pitch and tempo change together."""
    speed = random.uniform(low, high)
    return soxr.resample(samples, SAMPLING_RATE * speed, SAMPLING_RATE, quality="LQ").astype(np.float32)


def level(samples: np.ndarray) -> float:
    """Returns the root mean square."""
    return float(np.sqrt(np.mean(samples**2) + 1e-10))


def loud(samples: np.ndarray, peak: float) -> np.ndarray:
    """Scales samples to the given peak."""
    return samples * (peak / (np.abs(samples).max() + 1e-6))


def trim_silence(samples: np.ndarray, threshold: float = 0.003, margin: float = 0.15) -> np.ndarray:
    """Cuts silence off both ends and leaves `margin` seconds; `threshold` is relative to the loudest sample."""
    heard = np.flatnonzero(np.abs(samples) > threshold * np.abs(samples).max())
    if heard.size == 0:
        return samples
    edge = int(margin * SAMPLING_RATE)
    return samples[max(0, heard[0] - edge) : heard[-1] + edge]


def crop(samples: np.ndarray, length: int, tries: int = 4) -> np.ndarray:
    """Cuts out `length` samples: the loudest of a few random positions. Shorter clips stay whole."""
    if len(samples) <= length:
        return samples
    starts = [random.randrange(len(samples) - length) for _ in range(random.randint(1, tries))]
    return max((samples[s : s + length] for s in starts), key=level)


def mix(samples: np.ndarray, other: np.ndarray, decibels: float) -> np.ndarray:
    """Adds `other`, `decibels` quieter, repeated or cut to the same length."""
    repeated = np.resize(other, len(samples))
    return samples + repeated * (level(samples) / level(other) * 10 ** (-decibels / 20))


def add_noise(samples: np.ndarray, low: float = 15.0, high: float = 50.0) -> np.ndarray:
    """Adds noise, `low` to `high` decibels quieter: half of it is white, the other half has a random spectral slope."""
    size = 1 << (len(samples) - 1).bit_length()
    spectrum = np.fft.rfft(np.random.randn(size))
    slope = random.choice((0.0, random.uniform(0.0, 1.0)))
    spectrum *= np.maximum(1.0, np.arange(len(spectrum))) ** -slope
    noise = np.fft.irfft(spectrum, size)
    return mix(samples, noise, random.uniform(low, high)).astype(np.float32)


def equalize(samples: np.ndarray) -> np.ndarray:
    """Filters with a random smooth curve, on the whole rather duller than brighter."""
    decibels = np.linspace(0, random.uniform(-20, 8), len(EQUALIZER_KNOTS)) + np.random.normal(0, 3, len(EQUALIZER_KNOTS))
    curve = lambda hertz: 10 ** (np.interp(np.log(hertz), np.log(EQUALIZER_KNOTS), decibels) / 20)  # noqa: E731
    return _filtered(samples, curve).astype(np.float32)


def warp_voice(power: np.ndarray, tract: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Shifts the resonances of a voice by the factor `tract` of each bin and its harmonics by the factor `pitch` of each frame.

    `power` is a power spectrum [frames, bins].
    """
    logarithm = np.log(power + 1e-10)
    cepstrum = np.fft.irfft(logarithm, N_FFT, axis=-1)
    cepstrum[:, ENVELOPE_COEFFICIENTS : N_FFT - ENVELOPE_COEFFICIENTS + 1] = 0
    envelope = np.fft.rfft(cepstrum, axis=-1).real
    bins = np.arange(power.shape[1])
    return np.exp(_interpolated(envelope, bins / tract) + _interpolated(logarithm - envelope, bins / pitch[:, None]))


def change_tempo(mel: np.ndarray, stretch: float) -> np.ndarray:
    """Stretches a log-mel [bins, frames] in time by the factor `stretch`, at the same pitch."""
    count = max(2, round(mel.shape[1] * stretch))
    return _interpolated(mel, np.arange(count) / stretch).astype(np.float32)


def _interpolated(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Reads each row at fractional positions, of all rows or of each row; those beyond the end read the last value."""
    last = rows.shape[1] - 1
    at = np.minimum(np.broadcast_to(positions, (len(rows), positions.shape[-1])), last)
    low = np.minimum(at.astype(int), last - 1)
    part = at - low
    return np.take_along_axis(rows, low, 1) * (1 - part) + np.take_along_axis(rows, low + 1, 1) * part


def reverberate(samples: np.ndarray) -> np.ndarray:
    """Adds the echo of a room: a few early reflections, then exponentially decaying noise."""
    length = int(random.uniform(0.1, 0.5) * SAMPLING_RATE)
    t = np.arange(length) / SAMPLING_RATE
    tail = np.random.randn(length) * np.exp(-6.9 * t / random.uniform(0.12, 0.7))
    tail[: int(random.uniform(0.002, 0.02) * SAMPLING_RATE)] = 0
    for _ in range(random.randint(2, 6)):
        tail[random.randrange(length // 3)] += random.uniform(-6, 6) * np.exp(-random.uniform(0, 2))
    tail *= random.uniform(0.15, 0.9) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    tail[0] += 1.0
    size = 1 << (len(samples) + length - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]


def limit_band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Keeps the frequencies from `low` to `high`, with flanks of a sixth of an octave."""
    return _filtered(samples, lambda hertz: 1 / np.sqrt((1 + (low / hertz) ** 12) * (1 + (hertz / high) ** 24)))


def _filtered(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiplies the spectrum by the gain at each frequency in hertz, at least 1."""
    size = 1 << (len(samples) - 1).bit_length()
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLING_RATE), 1.0)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(hertz), size)[: len(samples)]


def clip(samples: np.ndarray) -> np.ndarray:
    """Clips the samples as a microphone that is overloaded by 1 to 14 decibels."""
    edge = np.abs(samples).max() * 10 ** (-random.uniform(1, 14) / 20)
    return np.clip(samples, -edge, edge)


def coarsen(samples: np.ndarray) -> np.ndarray:
    """Quantizes the samples to eight bits in logarithmic steps, as a telephone does."""
    peak = np.abs(samples).max() + 1e-6
    curved = np.sign(samples) * np.log1p(255 * np.abs(samples) / peak) / np.log(256)
    rounded = np.round(curved * 127) / 127
    return np.sign(rounded) * np.expm1(np.abs(rounded) * np.log(256)) / 255 * peak


def another_microphone(samples: np.ndarray, narrow: float = 0.4) -> np.ndarray:
    """Simulates another room, and another microphone or a telephone. `narrow` is the share of clips that lose their high frequencies."""
    if random.random() < 0.3:
        samples = reverberate(samples)
    if random.random() < 0.15:
        samples = clip(samples)
    if random.random() < narrow:
        telephone = random.random() < 0.4
        samples = limit_band(samples, random.uniform(150, 350) if telephone else 20, random.uniform(2800, 4000))
        samples = coarsen(samples) if telephone and random.random() < 0.5 else samples
    return samples.astype(np.float32)


def tilt_spectrum(mel: np.ndarray, strength: float = 0.15) -> np.ndarray:
    """Adds a smooth random curve over the mel bins, as another microphone or room would."""
    knots = np.random.uniform(-strength, strength, 6)
    curve = np.interp(np.linspace(0, 5, mel.shape[0]), np.arange(6), knots)
    return mel + curve[:, None].astype(np.float32)


def mask_spectrum(mel: np.ndarray, max_bins: int = 24, max_frames: int = 25) -> np.ndarray:
    """Blanks up to two bands of bins and two stretches of frames (SpecAugment)."""
    blank = float(mel.mean())
    mel = mel.copy()
    for _ in range(random.randint(0, 2)):
        width = random.randint(0, max_bins)
        start = random.randrange(mel.shape[0] - width)
        mel[start : start + width] = blank
    for _ in range(random.randint(0, 2)):
        width = random.randint(0, min(max_frames, mel.shape[1] // 5))
        start = random.randrange(mel.shape[1] - width)
        mel[:, start : start + width] = blank
    return mel
