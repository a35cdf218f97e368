"""Wind, thunder and waters."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from made_waves import RATE, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, repeat, room, shaped, slope, time, tone


def wind(rng: Generator) -> np.ndarray:
    """Gusts: dull noise, and a howl whose pitch and strength rise together."""
    seconds = rng.uniform(2.4, 3.0)
    gust = drift(rng, seconds, 1.5, 0.25, 1.0)
    rush = hiss(rng, seconds, slope(pick(rng, 0.8, 1.3), 120)) * gust
    centre = pick(rng, 350, 700)
    howl = np.zeros(count(seconds))
    for i, c in enumerate(np.linspace(0.7, 1.4, 6)):
        weight = np.exp(-(((0.6 + 0.8 * gust) - c) ** 2) / 0.03)
        howl += weight * hiss(rng, seconds, peaks([centre * c], [centre * 0.05], [1])) * gust
    return finished(rng, rush + rng.uniform(0.1, 0.6) * howl)


def thunder(rng: Generator) -> np.ndarray:
    """A crack, then rolling rumble."""
    seconds = rng.uniform(2.6, 3.0)
    envelope = np.zeros(count(seconds))
    for _ in range(int(rng.integers(6, 14))):
        at = abs(rng.normal(0.2, 0.8))
        clap = decay(1.5, pick(rng, 0.08, 0.5), 0.02) * rng.uniform(0.3, 1) * np.exp(-at / 1.5)
        place(envelope, clap, at if at < seconds else 0)
    rumble = hiss(rng, seconds, slope(1.4, pick(rng, 80, 160))) * (envelope + 0.08)
    crack = hiss(rng, seconds, band(300, 3500, 0.7)) * envelope**2
    return finished(rng, faded(room(rng, rumble + rng.uniform(0.02, 0.25) * crack, 2.5, 0.8), 0.02, 0.6))


def bubble(rng: Generator, low: float, high: float) -> np.ndarray:
    """A bubble or a drop that rises in pitch as it closes."""
    seconds = rng.uniform(0.03, 0.1)
    hertz = pick(rng, low, high) * (1 + rng.uniform(0.1, 1.2) * time(seconds) / seconds)
    return tone(hertz, seconds) * decay(seconds, seconds * 0.22, 0.002)


def stream(rng: Generator) -> np.ndarray:
    """A brook: very many bubbles over soft noise."""
    seconds = rng.uniform(2.4, 3.0)
    canvas = np.zeros(count(seconds))
    for at in rng.uniform(0, seconds, int(rng.integers(250, 600))):
        place(canvas, bubble(rng, 350, 3200) * rng.exponential(1.0), at)
    canvas /= np.abs(canvas).max()
    noise = hiss(rng, seconds, band(pick(rng, 300, 700), 6000, 0.6)) * drift(rng, seconds, 8, 0.7, 1.0)
    return finished(rng, canvas + rng.uniform(0.03, 0.12) * noise)


def dripping(rng: Generator) -> np.ndarray:
    """Drops that fall into a basin, one at a time."""
    base = pick(rng, 700, 1400)

    def drop() -> np.ndarray:
        canvas = np.zeros(count(0.25))
        place(canvas, bubble(rng, base * 0.8, base * 1.3), rng.uniform(0.01, 0.03))
        place(canvas, 0.15 * hiss(rng, 0.02, band(1500, 7000)) * decay(0.02, 0.004), 0)
        if rng.random() < 0.5:
            place(canvas, 0.5 * bubble(rng, base, base * 1.8), rng.uniform(0.06, 0.12))
        return canvas * rng.uniform(0.5, 1)

    samples = repeat(rng, rng.uniform(2.3, 3.0), pick(rng, 0.25, 0.8), drop, 0.15)
    return finished(rng, room(rng, samples, pick(rng, 0.4, 1.5), rng.uniform(0.2, 0.5)))


def boiling(rng: Generator) -> np.ndarray:
    """Low bubbles that burst in a pot."""
    seconds = rng.uniform(2.2, 3.0)
    canvas = np.zeros(count(seconds))
    for at in rng.uniform(0, seconds, int(rng.integers(90, 200))):
        place(canvas, bubble(rng, 150, 700) * rng.exponential(1.0), at)
    return finished(rng, canvas / np.abs(canvas).max() + 0.02 * hiss(rng, seconds, slope(0.7)))


def splash(rng: Generator) -> np.ndarray:
    """Something falls into water."""
    seconds = rng.uniform(0.8, 1.2)
    canvas = hiss(rng, seconds, band(400, 6500, 0.8)) * decay(seconds, rng.uniform(0.12, 0.25), 0.03)
    for _ in range(60):
        place(canvas, 0.8 * bubble(rng, 300, 2000) * rng.exponential(0.6), abs(rng.normal(0.15, 0.3)) % (seconds - 0.05))
    place(canvas, 2 * bubble(rng, 120, 250), 0.02)
    return finished(rng, canvas)


def steam(rng: Generator) -> np.ndarray:
    """Steam that escapes under pressure."""
    seconds = rng.uniform(2.0, 3.0)
    jet = hiss(rng, seconds, band(pick(rng, 1800, 3000), 7800, 1)) * drift(rng, seconds, 2, 0.6, 1.0)
    return finished(rng, faded(jet, rng.uniform(0.03, 0.3), rng.uniform(0.1, 0.8)))
