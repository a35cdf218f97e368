"""Building blocks of rendered sounds: tones, noises, strokes, echoes. 16 kHz, numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..audio import SAMPLING_RATE

RATE = SAMPLING_RATE
HIGHEST = 7_600.0  # Hz; partials above are left out
Curve = float | np.ndarray


def count(seconds: float) -> int:
    return int(seconds * RATE)


def time(seconds: float) -> np.ndarray:
    return np.arange(count(seconds)) / RATE


def pick(rng: np.random.Generator, low: float, high: float) -> float:
    """Draws a value between two positive ones, uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def tone(hertz: Curve, seconds: float, partials: Sequence[float] = (1.0,), stretch: Sequence[float] | None = None) -> np.ndarray:
    """Sums partials of a fundamental that may glide; `stretch` gives their ratios if they are not harmonic."""
    n = count(seconds)
    hertz = np.broadcast_to(np.asarray(hertz, float), (n,))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    ratios = stretch if stretch is not None else range(1, len(partials) + 1)
    result = np.zeros(n)
    for i, (ratio, strength) in enumerate(zip(ratios, partials)):
        result += strength * np.sin(ratio * phase + 1.7 * i) * (hertz * ratio < HIGHEST)
    return result


def ring(hertz: Sequence[float], strengths: Sequence[float], decays: Sequence[float], seconds: float) -> np.ndarray:
    """A struck body: modes that decay, each to 1/e in its own time."""
    t = time(seconds)
    result = np.zeros(count(seconds))
    for i, (f, strength, decay) in enumerate(zip(hertz, strengths, decays)):
        if f < HIGHEST:
            result += strength * np.exp(-t / decay) * np.sin(2 * np.pi * f * t + 2.4 * i)
    return result


def shaped(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filters `samples` by a gain over frequency (zero phase)."""
    size = 1 << (2 * len(samples) - 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(np.maximum(hertz, 1.0)), size)[: len(samples)]


def band(low: float, high: float, order: float = 4.0) -> Callable[[np.ndarray], np.ndarray]:
    """The gain of a band-pass with flanks of 6 dB an octave times `order`."""
    return lambda f: 1 / np.sqrt((1 + (low / f) ** (2 * order)) * (1 + (f / high) ** (2 * order)))


def slope(power: float, corner: float = 50.0) -> Callable[[np.ndarray], np.ndarray]:
    """A gain that falls as frequency to the `power` above the corner."""
    return lambda f: np.maximum(f / corner, 1.0) ** -power


def peaks(hertz: Sequence[float], widths: Sequence[float], strengths: Sequence[float]) -> Callable[[np.ndarray], np.ndarray]:
    """The gain of resonances (formants)."""
    return lambda f: sum(s / np.sqrt(1 + ((f - c) / w) ** 2) for c, w, s in zip(hertz, widths, strengths))


def hiss(rng: np.random.Generator, seconds: float, gain: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Noise of unit power, coloured by `gain`."""
    noise = rng.standard_normal(count(seconds))
    if gain is not None:
        noise = shaped(noise, gain)
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-9)


def drift(rng: np.random.Generator, seconds: float, a_second: float, low: float, high: float) -> np.ndarray:
    """A smooth random curve between two values, with about `a_second` turns a second."""
    n = count(seconds)
    knots = rng.uniform(0, 1, max(2, int(seconds * a_second) + 2))
    at = np.linspace(0, len(knots) - 1.001, n)
    i = at.astype(int)
    part = at % 1
    part = part * part * (3 - 2 * part)
    return low + (high - low) * (knots[i] * (1 - part) + knots[i + 1] * part)


def decay(seconds: float, to: float, attack: float = 0.002) -> np.ndarray:
    """The envelope of a stroke: a short rise, then a decay to 1/e in `to` seconds."""
    t = time(seconds)
    return np.exp(-t / to) * np.minimum(1.0, t / attack)


def faded(samples: np.ndarray, attack: float = 0.01, release: float = 0.03) -> np.ndarray:
    """Fades both ends, so that a sound starts and stops without a click."""
    t = np.arange(len(samples)) / RATE
    return samples * np.clip(np.minimum(t / attack, (len(samples) / RATE - t) / release), 0, 1)


def place(canvas: np.ndarray, samples: np.ndarray, second: float) -> None:
    """Adds `samples` to `canvas` at a time; samples beyond its end are cut off."""
    start = count(second)
    part = samples[: max(0, len(canvas) - start)]
    canvas[start : start + len(part)] += part


def repeat(
    rng: np.random.Generator, seconds: float, every: float, make: Callable[[], np.ndarray], jitter: float = 0.0
) -> np.ndarray:
    """Repeats the sound of `make` about every `every` seconds."""
    canvas = np.zeros(count(seconds))
    at = rng.uniform(0, min(0.3, every / 2))
    while at < seconds - 0.03:
        place(canvas, make(), at)
        at += every * float(np.exp(rng.normal(0, jitter)))
    return canvas


def room(rng: np.random.Generator, samples: np.ndarray, seconds: float, wet: float) -> np.ndarray:
    """Adds the echo of a room: exponentially decaying noise that loses its high frequencies."""
    tail = shaped(rng.standard_normal(count(3 * seconds)) * decay(3 * seconds, seconds / 2.3), band(150, 4000, 1))
    tail *= wet / (np.sqrt(np.sum(tail**2)) + 1e-9)
    size = 1 << (len(samples) + len(tail)).bit_length()
    wet_part = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return samples + wet_part


def finished(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Fades the ends, sets a random sound level, converts to float32."""
    samples = samples - samples.mean()
    samples = faded(samples, 0.001, 0.02)
    return (samples * (rng.uniform(0.45, 0.9) / (np.abs(samples).max() + 1e-9))).astype(np.float32)


def ambience(rng: np.random.Generator, samples: np.ndarray, low: float = -52.0, high: float = -38.0) -> np.ndarray:
    """Adds faint background noise, in decibels below the peak: a stroke in perfect silence sounds like a drum."""
    noise = shaped(rng.standard_normal(len(samples)), slope(rng.uniform(0.4, 0.9), 100))
    noise /= np.sqrt(np.mean(noise**2)) + 1e-9
    return samples + noise * np.abs(samples).max() * 10 ** (rng.uniform(low, high) / 20)
