"""Voices of animals: a source that glides, shaped by a throat."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .waves import ambience, count, faded, finished, pick, place, repeat, room, tone


def contour(seconds: float, points: list[float]) -> np.ndarray:
    """A smooth pitch curve through equally spaced points."""
    n = count(seconds)
    at = np.linspace(0, len(points) - 1, n)
    curve = np.interp(at, np.arange(len(points)), np.log(points))
    width = max(1, n // (3 * len(points)))
    padded = np.pad(curve, (width // 2, width - 1 - width // 2), mode="edge")
    return np.exp(np.convolve(padded, np.ones(width) / width, mode="valid"))


def bird(rng: Generator) -> np.ndarray:
    """A song bird: one kind of whistled syllable, repeated and varied."""
    seconds = rng.uniform(2.0, 3.0)
    centre = pick(rng, 2800, 4800)
    shapes = [[centre * pick(rng, 0.7, 1.4) for _ in range(int(rng.integers(2, 5)))] for _ in range(int(rng.integers(1, 4)))]
    lasts = pick(rng, 0.05, 0.16)

    def syllable() -> np.ndarray:
        points = [p * rng.uniform(0.97, 1.03) for p in shapes[rng.integers(len(shapes))]]
        length = lasts * rng.uniform(0.8, 1.3)
        return faded(tone(contour(length, points), length, [1, 0.12]), 0.012, 0.02) * rng.uniform(0.5, 1.0)

    samples = repeat(rng, seconds, lasts * rng.uniform(1.4, 2.6), syllable, 0.25)
    return finished(rng, ambience(rng, room(rng, samples, pick(rng, 0.3, 1.0), rng.uniform(0.1, 0.4)), -60, -45))


def cricket(rng: Generator) -> np.ndarray:
    """Chirps of a few pulses each near 4.5 kHz, again and again."""
    seconds = rng.uniform(2.0, 3.0)
    hertz = pick(rng, 3900, 5200)
    pulse = tone(hertz, 0.014, [1, 0.05]) * np.hanning(count(0.014))
    pulses = int(rng.integers(3, 6))
    gap = rng.uniform(0.02, 0.028)
    chirp = np.zeros(count(gap * (pulses + 1)))
    for i in range(pulses):
        place(chirp, pulse * (0.6 + 0.4 * i / pulses), i * gap)
    samples = repeat(rng, seconds, pick(rng, 0.2, 0.55), lambda: chirp, 0.04)
    return finished(rng, ambience(rng, samples, -48, -36))
