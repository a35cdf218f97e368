"""Electric signals: sirens, alarms, telephones, beeps, horns."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .waves import (
    ambience,
    band,
    count,
    decay,
    faded,
    finished,
    hiss,
    peaks,
    pick,
    place,
    repeat,
    ring,
    room,
    shaped,
    time,
    tone,
)

SAW = [1 / i for i in range(1, 16)]
SQUARE = [1 / i if i % 2 else 0.0 for i in range(1, 16)]


def siren(rng: Generator) -> np.ndarray:
    """A wail or a yelp up and down, or the two tones of European cars."""
    seconds = rng.uniform(2.2, 3.0)
    low = pick(rng, 450, 750)
    t = time(seconds)
    kind = rng.integers(3)
    if kind == 0:
        period = pick(rng, 1.5, 4.0)
        hertz = low * pick(rng, 1.8, 2.6) ** (0.5 - 0.5 * np.cos(2 * np.pi * (t / period + rng.random())))
    elif kind == 1:
        period = pick(rng, 0.25, 0.5)
        hertz = low * pick(rng, 1.7, 2.4) ** (1 - (t / period + rng.random()) % 1)
    else:
        period = pick(rng, 0.9, 1.3)
        hertz = low * np.where((t / period + rng.random()) % 1 < 0.5, 1.0, pick(rng, 1.25, 1.4))
    horn = shaped(tone(hertz, seconds, SAW), peaks([pick(rng, 700, 1600), pick(rng, 2000, 3000)], [500, 700], [1.0, 0.6]))
    return finished(rng, room(rng, horn, pick(rng, 0.3, 1.2), rng.uniform(0.1, 0.5)))


def smoke_alarm(rng: Generator) -> np.ndarray:
    """Piercing beeps near 3 kHz, evenly or three at a time."""
    hertz = pick(rng, 2900, 3500)
    on = pick(rng, 0.12, 0.5)
    beep = faded(tone(hertz, on, [1.0, rng.uniform(0.1, 0.4)]), 0.004, 0.01)
    samples = repeat(rng, rng.uniform(2.2, 3.0), on * rng.uniform(1.6, 2.2), lambda: beep)
    return finished(rng, room(rng, samples, pick(rng, 0.2, 0.6), rng.uniform(0.05, 0.3)))


def telephone_ring(rng: Generator) -> np.ndarray:
    """The two bells of an old telephone, struck in turn."""
    seconds = rng.uniform(2.0, 3.0)
    base = pick(rng, 900, 1500)
    ratios = np.array([1.0, 2.45, 2.92, 4.3])
    gap = 1 / rng.uniform(18, 26)
    pitches = base, base * rng.uniform(1.15, 1.3)
    bells = [ring(pitch * ratios, [1, 0.7, 0.5, 0.3], [0.25, 0.2, 0.15, 0.1], 0.6) for pitch in pitches]
    canvas = np.zeros(count(seconds))
    stop = seconds - rng.uniform(0.3, 0.7)
    for i, at in enumerate(np.arange(0, stop, gap)):
        place(canvas, bells[i % 2] * rng.uniform(0.8, 1.0), at)
    return finished(rng, room(rng, canvas, 0.3, rng.uniform(0.05, 0.25)))


def dial_tone(rng: Generator) -> np.ndarray:
    """The steady double tone of a telephone line, through a telephone's small loudspeaker."""
    seconds = rng.uniform(2.0, 3.0)
    pitch = rng.uniform(0.96, 1.04)
    both = np.tanh(rng.uniform(0.4, 1.5) * (tone(350 * pitch, seconds) + tone(440 * pitch, seconds)))
    return finished(rng, both + 0.02 * hiss(rng, seconds, band(300, 3400)))


def busy_signal(rng: Generator) -> np.ndarray:
    """The double tone on and off of an engaged line."""
    on = rng.uniform(0.25, 0.5)
    pitch = rng.uniform(0.96, 1.04)
    beep = faded(tone(480 * pitch, on, [1, 0.1]) + tone(620 * pitch, on, [1, 0.1]), 0.005, 0.005)
    samples = repeat(rng, rng.uniform(2.2, 3.0), on * 2, lambda: beep)
    return finished(rng, ambience(rng, samples, -50, -38))


def phone_dialing(rng: Generator) -> np.ndarray:
    """Keys of a touch-tone telephone."""
    on = rng.uniform(0.08, 0.16)

    def key() -> np.ndarray:
        low = rng.choice((697, 770, 852, 941))
        high = rng.choice((1209, 1336, 1477))
        return faded(tone(float(low), on) + tone(float(high), on), 0.004, 0.004)

    return finished(rng, repeat(rng, rng.uniform(2.0, 3.0), on * rng.uniform(1.5, 2.2), key, 0.1))


def beep(rng: Generator) -> np.ndarray:
    """One electronic beep."""
    seconds = rng.uniform(0.2, 0.7)
    timbre = [[1.0], [1.0, 0.2], SQUARE[:5]][rng.integers(3)]
    return finished(rng, faded(tone(pick(rng, 600, 2200), seconds, timbre), 0.006, 0.012))


def laser(rng: Generator) -> np.ndarray:
    """A falling zap of a video game."""
    seconds = rng.uniform(0.2, 0.5)
    start = pick(rng, 3000, 6000)
    end = pick(rng, 150, 400)
    hertz = end + (start - end) * np.exp(-time(seconds) / (seconds * rng.uniform(0.15, 0.3)))
    return finished(rng, tone(hertz, seconds, [1, 0.4, 0.25]) * decay(seconds, seconds * 0.5))


def car_horn(rng: Generator) -> np.ndarray:
    """The two notes of a car's horn, one or two blows."""
    low = pick(rng, 330, 480)
    formants = peaks([pick(rng, 900, 1500), pick(rng, 2200, 3200)], [500, 700], [1, 0.7])

    def blow(seconds: float) -> np.ndarray:
        both = tone(low, seconds, SAW) + tone(low * ratio, seconds, SAW)
        return faded(shaped(both, formants), 0.02, 0.04)

    ratio = rng.uniform(1.18, 1.28)
    seconds = rng.uniform(0.35, 1.0)
    return finished(rng, room(rng, blow(seconds), pick(rng, 0.2, 0.8), rng.uniform(0.05, 0.3)))
