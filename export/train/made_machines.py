"""Engines and tools: what turns, fires or hammers at a rate."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from made_waves import RATE, ambience, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, repeat, ring, room, shaped, slope, time, tone


def firing(rng: Generator, rate: np.ndarray, cylinders: int, sharp: float) -> np.ndarray:
    """Pulses of the cylinders of an engine, each a little different; `rate` is firings a second."""
    n = len(rate)
    phase = np.cumsum(rate) / RATE
    strokes = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    strength = rng.uniform(0.6, 1.0, cylinders)
    clicks = np.zeros(n)
    for i, at in enumerate(strokes):
        clicks[at] = strength[i % cylinders] * rng.uniform(0.85, 1.15)
    tail = count(0.06)
    blast = rng.standard_normal(tail) * np.exp(-np.arange(tail) / RATE / sharp) + 3 * ring([70, 110], [1, 0.6], [0.02, 0.015], 0.06)[:tail]
    size = 1 << (n + tail).bit_length()
    return np.fft.irfft(np.fft.rfft(clicks, size) * np.fft.rfft(blast, size), size)[:n]


def engine(rng: Generator) -> np.ndarray:
    """A car's engine that idles: low harmonics of its turning, roughened by its firing."""
    seconds = rng.uniform(2.2, 3.0)
    turning = pick(rng, 22, 40) * drift(rng, seconds, 5, 0.97, 1.03)
    strengths = [(1.6 if i % 2 == 0 else 0.7) * rng.uniform(0.5, 1) / i**0.5 for i in range(1, 26)]
    low = tone(turning, seconds, strengths)
    firing_curve = 1 + 0.6 * np.sin(2 * np.pi * np.cumsum(turning) / RATE)
    noise = hiss(rng, seconds, slope(0.7, 150)) * firing_curve
    clatter = hiss(rng, seconds, band(900, 4000, 1)) * firing_curve**3
    return finished(rng, low / np.std(low) + rng.uniform(0.6, 1.2) * noise + rng.uniform(0.05, 0.15) * clatter)


def motorcycle(rng: Generator) -> np.ndarray:
    """A motorcycle that revs up."""
    seconds = rng.uniform(2.2, 3.0)
    rate = drift(rng, seconds, 1.3, pick(rng, 35, 50), pick(rng, 90, 150))
    pulses = firing(rng, rate, 2, rng.uniform(0.004, 0.008))
    return finished(rng, shaped(pulses, peaks([180, 450, 1100, 2400], [120, 200, 400, 800], [1, 0.8, 0.5, 0.25])))


def jackhammer(rng: Generator) -> np.ndarray:
    """A pneumatic drill in the road."""
    seconds, every = rng.uniform(2.0, 3.0), 1 / pick(rng, 12, 26)
    ratios = pick(rng, 500, 1100) * np.array([1, 1.7, 2.9, 4.3])

    def blow() -> np.ndarray:
        clank = ring(ratios, [1, 0.8, 0.6, 0.4], [0.02, 0.015, 0.012, 0.008], 0.1)
        return (clank + 0.9 * hiss(rng, 0.1, band(150, 5000, 0.7)) * decay(0.1, 0.018)) * rng.uniform(0.8, 1)

    return finished(rng, repeat(rng, seconds, every, blow, 0.02) + 0.05 * hiss(rng, seconds + 1e-4, slope(0.3))[: count(seconds)])


def drill(rng: Generator) -> np.ndarray:
    """An electric drill: a whining motor with its gears."""
    seconds = rng.uniform(2.0, 3.0)
    spin = np.minimum(1, 0.5 + time(seconds) / rng.uniform(0.1, 0.6)) * drift(rng, seconds, 4, 0.93, 1.05)
    base = pick(rng, 250, 480)
    whine = tone(base * spin, seconds, [0.5, 1, 0.5, 0.7, 0.4, 0.5, 0.3, 0.3, 0.2, 0.2, 0.2, 0.15])
    rough = whine * (1 + 0.4 * drift(rng, seconds, 90, -1, 1)) + 0.8 * hiss(rng, seconds, band(900, 6000, 1))
    return finished(rng, faded(rough, 0.05, 0.15))


def vacuum_cleaner(rng: Generator) -> np.ndarray:
    """A motor's whine in a broad rush of air."""
    seconds, base = rng.uniform(2.0, 3.0), pick(rng, 280, 520)
    whine = tone(base * drift(rng, seconds, 2, 0.99, 1.01), seconds, [1, 0.8, 0.5, 0.6, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1])
    rush = hiss(rng, seconds, band(250, 5500, 0.6))
    return finished(rng, rng.uniform(0.5, 0.9) * whine + rush)


def sewing_machine(rng: Generator) -> np.ndarray:
    """A needle's clatter over a small motor."""
    seconds, every = rng.uniform(2.0, 3.0), 1 / pick(rng, 9, 16)

    def stitch() -> np.ndarray:
        canvas = 0.9 * hiss(rng, 0.08, peaks([900, 2600, 4200], [150, 300, 500], [0.7, 1, 0.7])) * decay(0.08, 0.009, 0.0007)
        place(canvas, 0.6 * hiss(rng, 0.03, band(1500, 6000)) * decay(0.03, 0.004, 0.0005), every * 0.45)
        return canvas * rng.uniform(0.8, 1)

    motor = tone(pick(rng, 110, 190), seconds, [1, 0.5, 0.6, 0.3, 0.3, 0.2])
    return finished(rng, repeat(rng, seconds, every, stitch, 0.02) + 0.12 * motor)


def steam_train(rng: Generator) -> np.ndarray:
    """Chuff chuff chuff chuff."""
    seconds, every, step = rng.uniform(2.3, 3.0), pick(rng, 0.16, 0.34), [0]

    def chuff() -> np.ndarray:
        step[0] += 1
        lasts = min(0.3, every * 0.9)
        puff = hiss(rng, lasts, band(200, 4500, 0.7)) * decay(lasts, every * 0.28, 0.02)
        return puff * (1.0 if step[0] % 4 == 0 else rng.uniform(0.55, 0.75))

    rumble = hiss(rng, seconds, slope(1.2, 90))
    return finished(rng, room(rng, repeat(rng, seconds, every, chuff, 0.015) + 0.12 * rumble, 0.6, 0.2))


def rail_joints(rng: Generator) -> np.ndarray:
    """Wheels of a train over the joints of the rails: clickety-clack."""
    seconds, every = rng.uniform(2.3, 3.0), pick(rng, 0.5, 0.9)
    modes = pick(rng, 300, 600) * np.array([1, 1.9, 3.1, 5.2])

    def joint() -> np.ndarray:
        canvas = np.zeros(count(0.4))
        for at in (0, rng.uniform(0.1, 0.13)):
            clack = ring(modes, [1, 0.8, 0.6, 0.4], [0.03, 0.025, 0.02, 0.012], 0.2)
            place(canvas, clack + 1.2 * hiss(rng, 0.2, band(150, 3000, 0.8)) * decay(0.2, 0.03), at)
        return canvas

    rumble = hiss(rng, seconds, slope(1.0, 150)) * drift(rng, seconds, 5, 0.8, 1)
    return finished(rng, repeat(rng, seconds, every, joint, 0.01) + 0.35 * rumble)


def steam_whistle(rng: Generator) -> np.ndarray:
    """The whistle of a steam engine: a breathy chord that rises into pitch."""
    seconds, base = rng.uniform(2.0, 2.6), pick(rng, 480, 720)
    bend = 1 - 0.12 * np.exp(-time(seconds) / 0.08)
    chord = sum(tone(base * r * bend, seconds, [1, 0.25, 0.15]) for r in (1, 1.26, 1.5, 1.87))
    breath = 1.2 * hiss(rng, seconds, peaks([base * 1.3, base * 3], [base / 2, base * 2], [1, 0.5]))
    return finished(rng, room(rng, faded(chord + breath, 0.06, 0.4), 1.5, rng.uniform(0.3, 0.6)))


def propeller(rng: Generator) -> np.ndarray:
    """A small aeroplane."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 75, 120)
    drone = tone(base * drift(rng, seconds, 1, 0.98, 1.02), seconds, [1 / i**0.8 for i in range(1, 26)])
    wash = hiss(rng, seconds, slope(0.9, 150))
    return finished(rng, (drone * (1 + 0.2 * drift(rng, seconds, 20, -1, 1)) + 0.8 * wash) * drift(rng, seconds, 0.7, 0.6, 1))


def shaver(rng: Generator) -> np.ndarray:
    """An electric shaver or clippers: a buzz at the mains' rate."""
    seconds, base = rng.uniform(2.0, 3.0), float(rng.choice((100, 120))) * rng.uniform(0.95, 1.1)
    buzz = tone(base * drift(rng, seconds, 6, 0.99, 1.01), seconds, [0.5 + 0.5 * rng.random() for _ in range(60)])
    return finished(rng, shaped(buzz + 0.5 * hiss(rng, seconds), peaks([900, 2500, 4500], [500, 800, 1200], [0.6, 1, 0.8])))


def machine_gun(rng: Generator) -> np.ndarray:
    """A burst of shots."""
    every = 1 / pick(rng, 8, 14)

    def shot() -> np.ndarray:
        return hiss(rng, 0.3, slope(0.5, 300)) * decay(0.3, 0.025, 0.0005) * rng.uniform(0.85, 1)

    return finished(rng, room(rng, repeat(rng, rng.uniform(2.0, 2.6), every, shot, 0.01), 0.8, 0.5))


def gunshot(rng: Generator) -> np.ndarray:
    """One shot and its echo outside."""
    seconds = rng.uniform(0.8, 1.2)
    shot = hiss(rng, seconds, slope(rng.uniform(0.45, 0.7), 250)) * decay(seconds, rng.uniform(0.025, 0.05), 0.0005)
    return finished(rng, faded(ambience(rng, room(rng, shot, pick(rng, 1.0, 2.0), rng.uniform(0.4, 0.8))), 0.0005, 0.2))


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
