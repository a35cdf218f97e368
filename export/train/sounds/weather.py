"""Wind, thunder and water."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .waves import ambience, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, room, slope, time, tone


def wind(rng: Generator) -> np.ndarray:
    """Wind around a house: a howl whose pitch and strength rise and fall together, over dull noise."""
    seconds = rng.uniform(2.4, 3.0)
    gust = drift(rng, seconds, 1.5, 0.25, 1.0)
    rush = hiss(rng, seconds, slope(pick(rng, 0.9, 1.4), 120)) * (0.4 + 0.6 * gust)
    centre = pick(rng, 350, 750)
    howl = np.zeros(count(seconds))
    for c in np.linspace(0.7, 1.4, 8):
        weight = np.exp(-(((0.6 + 0.8 * gust) - c) ** 2) / 0.015)
        howl += weight * hiss(rng, seconds, peaks([centre * c], [centre * 0.04], [1])) * gust
    return finished(rng, rush + rng.uniform(0.5, 1.3) * howl)


def thunder(rng: Generator) -> np.ndarray:
    """A crack, then rolling rumble."""
    seconds = rng.uniform(2.6, 3.0)
    envelope = np.zeros(count(seconds))
    for at in [0.05, *np.abs(rng.normal(0.3, 0.9, int(rng.integers(5, 12))))]:
        clap = decay(2.0, pick(rng, 0.1, 0.5), 0.03) * rng.uniform(0.3, 1) * np.exp(-at / 1.8)
        place(envelope, clap, min(at, seconds - 0.5))
    rumble = hiss(rng, seconds, slope(rng.uniform(1.5, 2.0), pick(rng, 60, 110))) * (envelope + 0.05)
    crackle = hiss(rng, seconds, band(150, 1200, 0.8)) * envelope**2 * drift(rng, seconds, 30, 0, 1)
    echoing = room(rng, rumble + rng.uniform(0.03, 0.15) * crackle, 3.0, 0.6)
    return finished(rng, faded(ambience(rng, echoing, -50, -40), 0.02, 0.4))


def bubble(rng: Generator, low: float, high: float) -> np.ndarray:
    """A bubble or a drop whose pitch rises as it closes."""
    seconds = rng.uniform(0.03, 0.1)
    hertz = pick(rng, low, high) * (1 + rng.uniform(0.1, 1.2) * time(seconds) / seconds)
    return tone(hertz, seconds) * decay(seconds, seconds * 0.22, 0.002)


def stream(rng: Generator) -> np.ndarray:
    """A brook: a soft rush and very many bubbles."""
    seconds = rng.uniform(2.4, 3.0)
    noise = hiss(rng, seconds, band(pick(rng, 150, 350), pick(rng, 3500, 6000), 0.8)) * drift(rng, seconds, 6, 0.75, 1.0)
    canvas = np.zeros(count(seconds))
    for at in rng.uniform(0, seconds, int(rng.integers(250, 600))):
        place(canvas, bubble(rng, 350, 2600) * rng.exponential(1.0), at)
    return finished(rng, noise + rng.uniform(0.6, 1.2) * canvas / np.sqrt(np.mean(canvas**2)))


def splash(rng: Generator) -> np.ndarray:
    """An object that falls into water."""
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
