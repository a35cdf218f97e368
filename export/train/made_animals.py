"""Voices of animals: a source that glides, shaped by a throat."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from made_waves import RATE, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, repeat, room, shaped, slope, time, tone

VOICE = [1 / i**0.7 for i in range(1, 40)]


def contour(seconds: float, points: list[float]) -> np.ndarray:
    """A smooth pitch curve through points that are equally far apart."""
    n = count(seconds)
    at = np.linspace(0, len(points) - 1, n)
    curve = np.interp(at, np.arange(len(points)), np.log(points))
    width = max(1, n // (3 * len(points)))
    padded = np.pad(curve, (width // 2, width - 1 - width // 2), mode="edge")
    return np.exp(np.convolve(padded, np.ones(width) / width, mode="valid"))


def bird(rng: Generator) -> np.ndarray:
    """A song bird: one kind of whistled syllable, repeated and varied."""
    seconds, centre = rng.uniform(2.0, 3.0), pick(rng, 2800, 4800)
    shapes = [[centre * pick(rng, 0.7, 1.4) for _ in range(int(rng.integers(2, 5)))] for _ in range(int(rng.integers(1, 4)))]
    lasts = pick(rng, 0.05, 0.16)

    def syllable() -> np.ndarray:
        points = [p * rng.uniform(0.97, 1.03) for p in shapes[rng.integers(len(shapes))]]
        length = lasts * rng.uniform(0.8, 1.3)
        return faded(tone(contour(length, points), length, [1, 0.12]), 0.012, 0.02) * rng.uniform(0.5, 1.0)

    samples = repeat(rng, seconds, lasts * rng.uniform(1.4, 2.6), syllable, 0.25)
    return finished(rng, room(rng, samples, pick(rng, 0.3, 1.0), rng.uniform(0.1, 0.4)) + 0.004 * hiss(rng, len(samples) / RATE + 1e-5)[: len(samples)])


def cricket(rng: Generator) -> np.ndarray:
    """Chirps of a few pulses each near 4.5 kHz, again and again."""
    seconds, hertz = rng.uniform(2.0, 3.0), pick(rng, 3900, 5200)
    pulse = tone(hertz, 0.014, [1, 0.05]) * np.hanning(count(0.014))
    pulses, gap = int(rng.integers(3, 6)), rng.uniform(0.02, 0.028)
    chirp = np.zeros(count(gap * (pulses + 1)))
    for i in range(pulses):
        place(chirp, pulse * (0.6 + 0.4 * i / pulses), i * gap)
    samples = repeat(rng, seconds, pick(rng, 0.2, 0.55), lambda: chirp, 0.04)
    return finished(rng, samples + 0.01 * hiss(rng, len(samples) / RATE + 1e-5, slope(0.5))[: len(samples)])


def frog(rng: Generator) -> np.ndarray:
    """Croaks: fast pulses through a wide throat."""
    rate, lasts = pick(rng, 35, 75), rng.uniform(0.2, 0.45)
    throat = peaks([pick(rng, 500, 900), pick(rng, 1500, 2200)], [120, 200], [1, 0.6])

    def croak() -> np.ndarray:
        curve = rate * (1 + 0.25 * time(lasts) / lasts)
        pulses = shaped(tone(curve, lasts, [1.0] * 60), throat)
        return faded(pulses, 0.03, 0.06)

    samples = repeat(rng, rng.uniform(2.0, 3.0), lasts * rng.uniform(1.5, 2.5), croak, 0.1)
    return finished(rng, room(rng, samples, 0.5, 0.2))


def owl(rng: Generator) -> np.ndarray:
    """Hoo … hoo-hoo."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 330, 520)
    canvas, at = np.zeros(count(seconds)), rng.uniform(0, 0.15)
    while at < seconds - 0.3:
        lasts = rng.uniform(0.18, 0.5)
        hoot = tone(contour(lasts, [base * 0.93, base, base * 0.99, base * 0.92]), lasts, [1, 0.12, 0.04])
        place(canvas, faded(hoot + 0.03 * hiss(rng, lasts, band(200, 900))[: len(hoot)], 0.05, 0.09), at)
        at += lasts + float(rng.choice((0.06, 0.1, 0.4)))
    return finished(rng, room(rng, canvas, 1.2, 0.4))


def crow(rng: Generator) -> np.ndarray:
    """Caw: a rough, noisy cry."""
    lasts, base = rng.uniform(0.3, 0.5), pick(rng, 420, 620)
    curve = contour(lasts, [base, base * 1.25, base * 1.2, base * 0.85]) * (1 + 0.05 * drift(rng, lasts, 250, -1, 1))
    cry = tone(curve, lasts, VOICE[:14]) + 0.8 * hiss(rng, lasts, band(900, 4000, 1))
    caw = shaped(cry * (1 + 0.5 * drift(rng, lasts, 120, -1, 1)), peaks([1300, 2200, 3600], [350, 400, 700], [1, 0.8, 0.4]))
    return finished(rng, room(rng, faded(caw, 0.04, 0.08), 0.5, 0.15))


def cat(rng: Generator) -> np.ndarray:
    """Meow: pitch up and down while the mouth opens and closes."""
    seconds, base = rng.uniform(0.7, 1.1), pick(rng, 420, 680)
    curve = contour(seconds, [base * 0.85, base * 1.2, base * 1.3, base * 1.15, base * 0.8])
    source = tone(curve * (1 + 0.004 * np.sin(2 * np.pi * 6 * time(seconds))), seconds, VOICE[:16]) + 0.05 * hiss(rng, seconds)
    closed = shaped(source, peaks([450, 2300, 3500], [120, 250, 300], [1.0, 0.35, 0.15]))
    wide = shaped(source, peaks([1000, 1700, 3200], [180, 250, 400], [1.0, 0.8, 0.4]))
    round_ = shaped(source, peaks([600, 950, 2800], [120, 150, 300], [1.0, 0.7, 0.1]))
    opening = np.clip(time(seconds) / seconds, 0, 1)
    ways = [np.interp(opening, [0, 0.12, 0.3, 1], v) for v in ([1, 0.8, 0, 0], [0, 0.2, 1, 0.1], [0, 0, 0, 0.9])]
    return finished(rng, faded(room(rng, closed * ways[0] + wide * ways[1] + round_ * ways[2], 0.3, 0.1), 0.06, 0.2))


def cow(rng: Generator) -> np.ndarray:
    """Moo: low, long, the mouth opens slowly."""
    seconds, base = rng.uniform(1.4, 2.2), pick(rng, 110, 170)
    curve = contour(seconds, [base * 0.85, base, base * 1.12, base * 1.1, base * 0.8]) * (1 + 0.01 * drift(rng, seconds, 40, -1, 1))
    source = tone(curve, seconds, VOICE) + 0.15 * hiss(rng, seconds)
    closed = shaped(source, peaks([230, 900], [70, 150], [1, 0.1]))
    wide = shaped(source, peaks([450, 800, 2400, 3200], [90, 120, 250, 300], [1, 0.8, 0.3, 0.2]))
    opening = np.interp(time(seconds) / seconds, [0, 0.25, 0.6, 1], [0, 0.5, 1, 0.6])
    return finished(rng, faded(room(rng, closed * (1 - opening) + wide * opening, 0.8, 0.2), 0.12, 0.25))


def sheep(rng: Generator) -> np.ndarray:
    """Baa: a trembling bleat."""
    seconds, base = rng.uniform(0.7, 1.2), pick(rng, 220, 380)
    trembling = np.sin(2 * np.pi * rng.uniform(9, 14) * time(seconds) + rng.uniform(0, 6))
    curve = contour(seconds, [base * 0.95, base * 1.1, base * 1.05, base * 0.9]) * (1 + 0.035 * trembling)
    source = tone(curve, seconds, VOICE[:24]) + 0.3 * hiss(rng, seconds, slope(0.3))
    bleat = shaped(source * (1 + 0.4 * trembling), peaks([750, 1650, 2600, 3700], [150, 180, 250, 300], [1, 0.9, 0.5, 0.3]))
    return finished(rng, faded(room(rng, bleat, 0.5, 0.15), 0.05, 0.15))


def duck(rng: Generator) -> np.ndarray:
    """One quack: nasal and rough."""
    seconds, base = rng.uniform(0.18, 0.32), pick(rng, 200, 300)
    curve = contour(seconds, [base * 1.15, base * 1.1, base * 0.85])
    source = tone(curve * (1 + 0.03 * drift(rng, seconds, 150, -1, 1)), seconds, [1.0] * 28) + 0.4 * hiss(rng, seconds)
    quack = shaped(source, peaks([1050, 1900, 2900], [180, 220, 350], [0.8, 1.0, 0.5]))
    return finished(rng, faded(room(rng, quack, 0.3, 0.1), 0.015, 0.07))


def pigeon(rng: Generator) -> np.ndarray:
    """Coo: a soft rolling murmur."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 320, 460)
    canvas, at = np.zeros(count(seconds)), 0.0
    while at < seconds - 0.3:
        lasts = rng.uniform(0.3, 0.7)
        curve = contour(lasts, [base * 0.85, base * 1.1, base, base * 0.9])
        rolled = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(18, 26) * time(lasts))
        place(canvas, faded(tone(curve, lasts, [1, 0.25, 0.08]) * rolled, 0.08, 0.1), at)
        at += lasts + rng.uniform(0.05, 0.2)
    return finished(rng, room(rng, canvas, 0.6, 0.2))


def bee(rng: Generator) -> np.ndarray:
    """An insect that buzzes around the ear."""
    seconds, base = rng.uniform(2.0, 3.0), pick(rng, 150, 260)
    curve = base * drift(rng, seconds, 3, 0.9, 1.12)
    buzz = tone(curve, seconds, [1 / i**0.6 for i in range(1, 28)]) + 0.2 * hiss(rng, seconds)
    near = drift(rng, seconds, 2, 0.15, 1.0)
    return finished(rng, shaped(buzz, peaks([pick(rng, 500, 900), 2500, 4500], [300, 600, 900], [1, 0.6, 0.3])) * near)


def mosquito(rng: Generator) -> np.ndarray:
    """A thin whine that comes and goes."""
    seconds, base = rng.uniform(2.0, 3.0), pick(rng, 480, 720)
    whine = tone(base * drift(rng, seconds, 3, 0.94, 1.08), seconds, [1, 0.8, 0.6, 0.35, 0.25, 0.2, 0.12, 0.1])
    return finished(rng, whine * drift(rng, seconds, 2, 0.1, 1.0) + 0.02 * hiss(rng, seconds))


def horse(rng: Generator) -> np.ndarray:
    """Hooves on stone: clip-clop."""
    seconds, every = rng.uniform(2.0, 3.0), pick(rng, 0.2, 0.34)
    base, step = pick(rng, 600, 1100), [0]

    def hoof() -> np.ndarray:
        step[0] += 1
        pitch = base * (1.0, 0.8, 1.08, 0.86)[step[0] % 4] * rng.uniform(0.97, 1.03)
        click = shaped(hiss(rng, 0.12) * decay(0.12, 0.012, 0.0005), peaks([pitch, pitch * 2.3, 3500], [90, 200, 800], [1, 0.5, 0.15]))
        return click * rng.uniform(0.7, 1)

    return finished(rng, room(rng, repeat(rng, seconds, every, hoof, 0.06), 0.4, 0.15))
