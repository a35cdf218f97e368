"""Things that ring when struck: bells, gongs, glass, coins."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from . import midi
from .waves import ambience, band, count, decay, faded, finished, hiss, pick, place, ring, room, tone

BAR = np.array([1.0, 2.76, 5.4, 8.93])
CUP = np.array([1.0, 2.3, 2.8, 4.4, 5.1])


def scattered(rng: Generator, ratios: np.ndarray, by: float) -> np.ndarray:
    """Detunes the modes of a bell: no two bells are cast alike."""
    return ratios * np.exp(rng.normal(0, by, len(ratios)))


def doorbell(rng: Generator) -> np.ndarray:
    """Ding-dong: two bars, a third or a fourth apart, falling."""
    seconds = 1.2
    base = pick(rng, 750, 980)
    strengths = np.array([1, 0.5, rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.5)])
    ratio = rng.uniform(2.67, 3.05)
    beat = rng.uniform(0.4, 3)
    long = pick(rng, 0.45, 0.9)
    short = pick(rng, 0.1, 0.5)
    bar = lambda f: ring([f, f + beat, f * ratio, f * 5.4], strengths, [long, long, short, short / 3], seconds)  # noqa: E731
    canvas = bar(base)
    place(canvas, bar(base / float(rng.choice((1.2, 1.26, 1.26, 1.33)))), rng.uniform(0.4, 0.55))
    echoing = room(rng, canvas, pick(rng, 0.3, 1.0), rng.uniform(0.3, 0.6))
    return finished(rng, faded(ambience(rng, echoing, -50, -30), 0.001, 0.1))


def singing_bowl(rng: Generator) -> np.ndarray:
    """A bowl struck or rubbed: few modes that beat slowly."""
    seconds = rng.uniform(2.2, 3.0)
    base = pick(rng, 180, 500)
    beats = rng.uniform(0.5, 3.0, 3)
    modes = base * np.array([1, 2.77, 5.2])
    samples = ring([*modes, *(modes + beats)], [1, 0.6, 0.2, 0.8, 0.5, 0.2], [4, 2, 0.8, 4, 2, 0.8], seconds)
    return finished(rng, faded(samples, rng.choice((0.003, 0.2)), 0.5))


def glass_breaking(rng: Generator) -> np.ndarray:
    """A pane that bursts: a blow, then splinters that fall and ring."""
    seconds = rng.uniform(0.8, 1.2)
    canvas = np.zeros(count(seconds))
    place(canvas, 3 * hiss(rng, 0.3, band(1500, 7500, 1)) * decay(0.3, 0.04), 0)
    place(canvas, 2 * hiss(rng, 0.1, band(200, 900, 1)) * decay(0.1, 0.02), 0)
    for _ in range(int(rng.integers(50, 110))):
        modes = pick(rng, 2200, 6000) * np.array([1, 1.37, 1.9])
        at = abs(rng.normal(0.05, 0.3)) if rng.random() < 0.9 else rng.uniform(0, seconds)
        splinter = ring(modes, rng.uniform(0.2, 1, 3), rng.uniform(0.004, 0.05, 3), 0.2)
        place(canvas, splinter * np.exp(-at / 0.4) * rng.uniform(0.3, 1.3), min(at, seconds - 0.02))
    return finished(rng, room(rng, canvas, 0.4, rng.uniform(0.05, 0.2)))


def desk_bell(rng: Generator) -> np.ndarray:
    """The ding of a hotel bell."""
    seconds = rng.uniform(0.7, 1.2)
    base = pick(rng, 1800, 2800)
    samples = ring(base * scattered(rng, CUP, 0.01), [1, 0.3, 0.3, 0.15, 0.1], [0.6, 0.3, 0.2, 0.1, 0.1], seconds)
    samples += 0.05 * tone(base * 1.003, seconds) * decay(seconds, 0.6)
    return finished(rng, faded(samples, 0.001, 0.2))


def tower_bell(rng: Generator) -> np.ndarray:
    """A rendered tubular bell with the hum of a larger bell below it."""
    keys = tuple(range(56, 76, 2))
    key = int(rng.integers(len(keys)))
    seconds = rng.uniform(1.0, 1.2)
    note = midi.notes(14, keys, 110, 2.0)[key].astype(np.float64)[: count(seconds)] / 32_768
    hum = 440 * 2 ** ((keys[key] - 81) / 12)
    hum_tone = ring([hum, hum * 2.4], [0.25, 0.15], [2, 1.5], seconds)
    return finished(rng, faded(room(rng, note + np.abs(note).max() * hum_tone, 1.5, rng.uniform(0.2, 0.6)), 0.001, 0.15))
