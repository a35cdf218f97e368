"""Sounds that people make: clapping, walking, knocking, typing, whistling."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .animals import contour
from .waves import (
    ambience,
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
    ring,
    room,
    time,
    tone,
)


def clap(rng: Generator, hand: float) -> np.ndarray:
    """A clap of two hands: a short noise with the resonance of the hollow between them."""
    noise = hiss(rng, 0.12, peaks([hand, hand * 2.1, 3500], [hand / 4, hand / 2, 2500], [1, 0.5, 0.35]))
    return noise * decay(0.12, rng.uniform(0.006, 0.014), 0.0008)


def heartbeat(rng: Generator) -> np.ndarray:
    """Lub-dub, as through a stethoscope."""
    every = 60 / pick(rng, 60, 110)
    low = pick(rng, 45, 70)

    def beat() -> np.ndarray:
        canvas = np.zeros(count(0.6))
        for at, pitch, strength in ((0, 1.0, 1.0), (every * 0.36, 1.35, 0.7)):
            thud = tone(low * pitch * (1 - 0.3 * time(0.15) / 0.15), 0.15, [1, 0.5, 0.2]) * decay(0.15, 0.035, 0.008)
            place(canvas, strength * (thud + 0.1 * hiss(rng, 0.15, band(60, 250)) * decay(0.15, 0.03)), at)
        return canvas

    return finished(rng, repeat(rng, rng.uniform(2.4, 3.0), every, beat, 0.02))


def knock(rng: Generator) -> np.ndarray:
    """Two to four knocks on a wooden door: soft knuckles, a dull panel, a small room."""
    body = pick(rng, 110, 250)
    width = rng.uniform(0.15, 0.28)
    lasts = rng.uniform(0.018, 0.03)
    attack = rng.uniform(0.003, 0.0045)
    colour = peaks([body, body * 2.1, 2000], [body * width, body * width * 2, 1000], [1, 0.5, pick(rng, 0.015, 0.05)])
    panel = rng.uniform(0.3, 1.3)
    times = int(rng.integers(2, 5))
    every = rng.uniform(0.17, 0.22)
    canvas = np.zeros(count(times * every + 0.2))
    for i in range(times):
        blow = hiss(rng, 0.25, colour) * decay(0.25, lasts, attack)
        blow += panel * ring([body, body * 1.6, body * 2.4], [1, 0.6, 0.4], [lasts] * 3, 0.25)
        place(canvas, blow * rng.uniform(0.8, 1), 0.02 + i * every * rng.uniform(0.98, 1.02))
    return finished(rng, ambience(rng, room(rng, canvas, pick(rng, 0.12, 0.25), rng.uniform(0.05, 0.2)), -50, -36))


def typing(rng: Generator) -> np.ndarray:
    """Fingers on a computer keyboard: light clicks, each followed by a second one when the key reaches the ground."""
    low = pick(rng, 220, 500)
    middle = pick(rng, 1800, 2900)
    high = pick(rng, 4000, 5500)
    width = rng.uniform(0.2, 0.38)
    lasts = rng.uniform(0.005, 0.009)
    gap = rng.uniform(0.012, 0.035)
    second = rng.uniform(0.25, 0.9)
    softest = rng.uniform(0.35, 0.85)
    deep = rng.uniform(0.25, 0.5)

    def key() -> np.ndarray:
        canvas = np.zeros(count(0.2))
        size = rng.uniform(0.9, 1.1)
        colour = peaks([low, middle * size, high * size], [low / 2, middle * width, high * width], [deep, 1, 0.8])
        for at, strength in ((0, 1.0), (gap * rng.uniform(0.8, 1.2), second)):
            place(canvas, strength * hiss(rng, 0.08, colour) * decay(0.08, lasts * rng.uniform(0.8, 1.2), 0.001), at)
        return canvas * rng.uniform(softest, 1)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.13, 0.22), key, rng.uniform(0.3, 0.5))
    return finished(rng, ambience(rng, room(rng, samples, pick(rng, 0.1, 0.25), rng.uniform(0.35, 0.6)), -36, -25))


def whistling(rng: Generator) -> np.ndarray:
    """A person who whistles a tune with the lips."""
    seconds = rng.uniform(2.2, 3.0)
    base = pick(rng, 1000, 1500)
    steps = (0, 2, 4, 5, 7, 9)
    points = []
    lasts = pick(rng, 0.2, 0.45)
    for _ in range(int(seconds / lasts) + 1):
        points += [base * 2 ** (steps[rng.integers(6)] / 12)] * 3
    curve = contour(seconds, points) * (1 + 0.006 * np.sin(2 * np.pi * rng.uniform(5, 6.5) * time(seconds)))
    strength = drift(rng, seconds, 1.2 / lasts, 0.35, 1.0)
    breath = 0.04 * hiss(rng, seconds, peaks([base * 1.4], [base * 0.5], [1]))
    samples = (tone(curve, seconds, [1, 0.03, 0.01]) + breath) * strength
    return finished(rng, room(rng, faded(samples, 0.05, 0.1), 0.5, 0.2))


def police_whistle(rng: Generator) -> np.ndarray:
    """A referee's whistle: two close tones made to trill by the pea."""
    seconds = rng.uniform(0.4, 1.1)
    base = pick(rng, 1900, 2700)
    pea = np.sin(2 * np.pi * rng.uniform(19, 45) * time(seconds))
    curve = base * (1 + rng.uniform(0.01, 0.04) * pea)
    both = tone(curve, seconds, [1, rng.uniform(0.03, 0.2)])
    both += rng.uniform(0.1, 0.6) * tone(curve * rng.uniform(1.12, 1.2), seconds)
    blow = (both + rng.uniform(0.03, 0.25) * hiss(rng, seconds, band(1500, 7000, 1))) * (1 + rng.uniform(0, 0.15) * pea)
    return finished(rng, ambience(rng, room(rng, faded(blow, 0.02, 0.05), pick(rng, 0.3, 1.2), rng.uniform(0.05, 0.6)), -44, -26))


def whoosh(rng: Generator) -> np.ndarray:
    """An object that swings past."""
    seconds = rng.uniform(0.35, 0.8)
    t = time(seconds) / seconds
    near = np.exp(-(((t - 0.5) / 0.17) ** 2))
    low = hiss(rng, seconds, peaks([500], [250], [1]))
    high = hiss(rng, seconds, peaks([1500], [700], [1]))
    return finished(rng, low * near**0.5 * 0.6 + high * near)


def hammering(rng: Generator) -> np.ndarray:
    """Blows of a hammer on wood."""
    wood = pick(rng, 700, 1300)
    nail = pick(rng, 2200, 3600)

    def blow() -> np.ndarray:
        canvas = clap(rng, wood * rng.uniform(0.95, 1.05))
        return canvas + 0.4 * ring([nail, nail * 1.6], [1, 0.6], [0.02, 0.012], 0.12)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.25, 0.55), blow, 0.03)
    return finished(rng, room(rng, samples, pick(rng, 0.3, 0.8), rng.uniform(0.1, 0.4)))


def chopping(rng: Generator) -> np.ndarray:
    """A knife on a wooden board."""
    board = pick(rng, 1100, 2000)

    def cut() -> np.ndarray:
        sound = hiss(rng, 0.15, peaks([board, board * 1.8, 350], [200, 500, 150], [1, 0.4, 0.5]))
        return sound * decay(0.15, rng.uniform(0.007, 0.012), 0.0008) * rng.uniform(0.7, 1)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.16, 0.4), cut, 0.08)
    return finished(rng, ambience(rng, room(rng, samples, pick(rng, 0.2, 0.4), rng.uniform(0.1, 0.25))))
