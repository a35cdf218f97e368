"""Engines and tools: things that turn, fire or hammer periodically."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .waves import (
    RATE,
    band,
    count,
    decay,
    drift,
    faded,
    finished,
    hiss,
    peaks,
    pick,
    place,
    repeat,
    room,
    shaped,
    slope,
    time,
    tone,
)


def engine(rng: Generator) -> np.ndarray:
    """An idling engine of a car or a lorry: harmonics of its rotation, roughened by the ignitions."""
    seconds = rng.uniform(2.2, 3.0)
    unsteady = rng.uniform(0.015, 0.05)
    turning = pick(rng, 19, 50) * drift(rng, seconds, 6, 1 - unsteady, 1 + unsteady)
    odd = rng.uniform(0.25, 0.65)
    fall = rng.uniform(0, 0.8)
    strengths = [(1 if i % 2 == 0 else odd) * rng.uniform(0.4, 1) / i**fall for i in range(1, int(rng.integers(30, 50)))]
    colour = slope(rng.uniform(0.4, 1.2), pick(rng, 80, 250))
    low = shaped(tone(turning, seconds, strengths), colour)
    firing = 1 + rng.uniform(0.3, 0.9) * np.sin(2 * np.pi * np.cumsum(turning) / RATE)
    clatter = hiss(rng, seconds, band(800, 4500, 1)) * firing**3
    noise = rng.uniform(0.25, 0.5) * hiss(rng, seconds, colour) * firing
    return finished(rng, low / low.std() + noise + rng.uniform(0.2, 0.5) * clatter)


def steam_whistle(rng: Generator) -> np.ndarray:
    """The whistle of a steam engine: a breathy chord that rises into pitch."""
    seconds = rng.uniform(2.0, 2.6)
    base = pick(rng, 480, 720)
    bend = 1 - 0.12 * np.exp(-time(seconds) / 0.08)
    chord = sum(tone(base * r * bend, seconds, [1, 0.25, 0.15]) for r in (1, 1.26, 1.5, 1.87))
    breath = 1.2 * hiss(rng, seconds, peaks([base * 1.3, base * 3], [base / 2, base * 2], [1, 0.5]))
    return finished(rng, room(rng, faded(chord + breath, 0.06, 0.4), 1.5, rng.uniform(0.3, 0.6)))


def machine_gun(rng: Generator) -> np.ndarray:
    """A burst of shots."""
    every = 1 / pick(rng, 8, 14)

    def shot() -> np.ndarray:
        return hiss(rng, 0.3, slope(0.5, 300)) * decay(0.3, 0.025, 0.0005) * rng.uniform(0.85, 1)

    return finished(rng, room(rng, repeat(rng, rng.uniform(2.0, 2.6), every, shot, 0.01), 0.8, 0.5))


def explosion(rng: Generator) -> np.ndarray:
    """A blast, its low boom, and debris."""
    seconds = 1.2
    blast = np.tanh(2 * hiss(rng, seconds, slope(0.7, 120)) * decay(seconds, rng.uniform(0.08, 0.2), 0.002))
    boom = hiss(rng, seconds, slope(2.0, 60)) * decay(seconds, rng.uniform(0.3, 0.5), 0.02)
    debris = np.zeros(count(seconds))
    for at in np.abs(rng.normal(0.2, 0.35, int(rng.integers(20, 60)))):
        place(debris, hiss(rng, 0.05, band(300, 4000, 1)) * decay(0.05, 0.008) * rng.exponential(0.15), min(at, 1.1))
    return finished(rng, faded(room(rng, blast + 0.7 * boom + debris, 1.8, rng.uniform(0.3, 0.6)), 0.001, 0.3))


def fireworks(rng: Generator) -> np.ndarray:
    """Bangs in the sky, each followed by crackling."""
    seconds = rng.uniform(2.4, 3.0)

    def bang() -> np.ndarray:
        canvas = hiss(rng, 1.2, slope(0.6, 200)) * decay(1.2, rng.uniform(0.02, 0.05), 0.001) * rng.uniform(0.4, 1)
        for at in rng.uniform(0.1, 1.1, int(rng.integers(5, 60))):
            place(canvas, hiss(rng, 0.03, band(400, 7000, 0.8)) * decay(0.03, 0.005, 0.0005) * rng.uniform(0.1, 0.5), at)
        return canvas

    return finished(rng, room(rng, repeat(rng, seconds, pick(rng, 0.3, 0.8), bang, 0.5), 1.0, 0.35))


def revving(rng: Generator) -> np.ndarray:
    """A car that accelerates: the engine's note climbs, perhaps through two gears."""
    seconds = rng.uniform(2.2, 3.0)
    climb = (time(seconds) / seconds * float(rng.choice((1, 1, 2)))) % 1
    spin = pick(rng, 70, 130) * (1 + rng.uniform(0.6, 1.4) * climb**0.7) * drift(rng, seconds, 5, 0.97, 1.03)
    whine = tone(spin, seconds, [0.5, 1, 0.5, 0.8, 0.4, 0.6, 0.3, 0.3, 0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.1])
    rough = whine * (1 + 0.4 * drift(rng, seconds, 90, -1, 1)) + 0.9 * hiss(rng, seconds, band(200, 5000, 0.6))
    return finished(rng, faded(rough, 0.05, 0.15))
