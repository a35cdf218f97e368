"""Things that ring when struck: bells, gongs, glass, coins."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

import made_midi
from made_waves import ambience, band, count, decay, faded, finished, hiss, pick, place, repeat, ring, room, time, tone

CHURCH = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33])  # hum, prime, minor third, fifth, nominal, …
BAR = np.array([1.0, 2.76, 5.4, 8.93])
CUP = np.array([1.0, 2.3, 2.8, 4.4, 5.1])


def scattered(rng: Generator, ratios: np.ndarray, by: float) -> np.ndarray:
    """No two bells are cast alike."""
    return ratios * np.exp(rng.normal(0, by, len(ratios)))


def church_bell(rng: Generator) -> np.ndarray:
    """One stroke of a large bell: the partials from the nominal upwards are as strong as the lower ones, and all of them beat."""
    seconds, base = rng.uniform(1.0, 1.2), pick(rng, 280, 620)
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.52, 2.67, 3.01, 4.17, 5.43, 6.8, 8.2])
    strengths = np.array([0.4, 0.5, 0.7, 0.3, 1.0, 0.6, 0.5, 0.8, 0.6, 0.5, 0.35, 0.3]) * rng.uniform(0.7, 1.3, 12)
    decays = np.array([4, 3, 2.5, 2, 2, 1.4, 1.2, 1.2, 0.8, 0.6, 0.4, 0.3])
    bell = ring(base * scattered(rng, ratios, 0.004), strengths, decays, seconds)
    bell += ring(base * scattered(rng, ratios, 0.004), 0.7 * strengths, decays, seconds)
    place(bell, hiss(rng, 0.05, band(1000, 6000, 1)) * decay(0.05, 0.01), 0)
    return finished(rng, faded(ambience(rng, room(rng, bell, 2.0, rng.uniform(0.3, 0.8))), 0.001, 0.15))


def bicycle_bell(rng: Generator) -> np.ndarray:
    """The rattling ring of a bicycle's bell: ring-ring."""
    seconds, base = rng.uniform(0.7, 1.2), pick(rng, 1900, 3200)
    cup = ring(base * scattered(rng, np.array([1, 1.62, 2.4]), 0.03), [1, 0.6, 0.4], [0.35, 0.2, 0.12], seconds)
    canvas, at, gap = np.zeros(count(seconds)), 0.0, rng.uniform(0.035, 0.06)
    for i in range(int(rng.integers(4, 9))):
        place(canvas, cup * rng.uniform(0.5, 1.0), at)
        at += gap * rng.uniform(0.9, 1.1) + (rng.uniform(0.08, 0.2) if i == 3 else 0)
    return finished(rng, faded(canvas, 0.001, 0.2))


def hand_bell(rng: Generator) -> np.ndarray:
    """A small bell that is shaken: both sides of the clapper."""
    seconds, base = rng.uniform(0.8, 1.2), pick(rng, 1100, 2300)
    ratios = scattered(rng, np.array([1, 2.0, 2.75, 4.1]), 0.02)
    gap = rng.uniform(0.09, 0.16)
    canvas = np.zeros(count(seconds))
    for at in np.arange(0, seconds - 0.15, gap):
        bell = ring(base * ratios, np.array([0.7, 1, 0.6, 0.5]) * rng.uniform(0.5, 1.2, 4), [0.5, 0.3, 0.2, 0.1], seconds)
        place(canvas, bell * rng.uniform(0.6, 1.0), at * rng.uniform(0.97, 1.03))
    return finished(rng, faded(room(rng, canvas, 0.4, 0.15), 0.001, 0.15))


def sleigh_bells(rng: Generator) -> np.ndarray:
    """Many small bells shaken in time."""
    bells = [ring(pick(rng, 2800, 7000) * np.array([1, 1.5]), [1, 0.5], [0.05, 0.03], 0.2) for _ in range(14)]

    def shake() -> np.ndarray:
        canvas = np.zeros(count(0.35))
        for bell in bells:
            for _ in range(2):
                place(canvas, bell * rng.uniform(0.2, 1.0), abs(rng.normal(0, 0.035)))
        return canvas

    return finished(rng, room(rng, repeat(rng, rng.uniform(2, 3), pick(rng, 0.18, 0.4), shake, 0.03), 0.3, 0.1))


def wind_chime(rng: Generator) -> np.ndarray:
    """Metal tubes that touch in the wind."""
    base = pick(rng, 700, 1300)
    tubes = [base * 2 ** (s / 12) for s in (0, 2, 4, 7, 9, 12, 14)]

    def tube() -> np.ndarray:
        return rng.uniform(0.2, 1) * ring(tubes[rng.integers(7)] * BAR, [1, 0.7, 0.35, 0.15], [1.2, 0.6, 0.2, 0.1], 2.0)

    return finished(rng, room(rng, repeat(rng, rng.uniform(2.3, 3), pick(rng, 0.12, 0.3), tube, 0.7), 0.5, 0.15))


def doorbell(rng: Generator) -> np.ndarray:
    """Ding-dong: two bars, a third apart, falling."""
    seconds, base = rng.uniform(1.1, 1.2), pick(rng, 620, 800)
    strengths = np.array([1, 0.12, 0.3, 0.06, 0.12]) * rng.uniform(0.7, 1.3, 5)
    bar = lambda f: ring(f * np.array([1, 2.0, 2.76, 4.0, 5.4]), strengths, [0.8, 0.4, 0.2, 0.1, 0.06], seconds)  # noqa: E731
    canvas = bar(base)
    place(canvas, bar(base / float(rng.choice((1.26, 1.26, 1.2)))), rng.uniform(0.45, 0.6))
    return finished(rng, faded(ambience(rng, room(rng, canvas, 0.5, rng.uniform(0.2, 0.5))), 0.001, 0.1))


def gong(rng: Generator) -> np.ndarray:
    """A large gong: very many modes, the high ones swell after the stroke."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 90, 170)
    t, canvas = time(seconds), np.zeros(count(seconds))
    for _ in range(160):
        f = base * np.exp(rng.uniform(0, 3.6))
        swell = 1 - np.exp(-t / (0.01 + 0.12 * f / 2000))
        strength = (f / base) ** -0.25 * rng.uniform(0.2, 1.0)
        canvas += strength * swell * np.exp(-t / (2.0 * (f / base) ** -0.3)) * np.sin(2 * np.pi * f * t + rng.uniform(0, 6))
    canvas += 5 * ring([base, base * 1.02, base * 2.1], [1, 0.8, 0.8], [2, 2, 1.5], seconds)
    return finished(rng, faded(ambience(rng, room(rng, canvas, 1.5, 0.3)), 0.002, 0.5))


def singing_bowl(rng: Generator) -> np.ndarray:
    """A bowl struck or rubbed: few modes that beat slowly."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 180, 500)
    beats = rng.uniform(0.5, 3.0, 3)
    modes = base * np.array([1, 2.77, 5.2])
    samples = ring([*modes, *(modes + beats)], [1, 0.6, 0.2, 0.8, 0.5, 0.2], [4, 2, 0.8, 4, 2, 0.8], seconds)
    return finished(rng, faded(samples, rng.choice((0.003, 0.2)), 0.5))


def glass_clink(rng: Generator) -> np.ndarray:
    """Two glasses that touch."""
    seconds, canvas = rng.uniform(0.4, 0.8), np.zeros(count(0.8))
    for _ in range(2):
        modes = pick(rng, 1700, 3000) * scattered(rng, CUP[:4], 0.03)
        place(canvas, ring(modes, [1, 0.8, 0.6, 0.3], [0.18, 0.12, 0.07, 0.04], 0.8), rng.uniform(0, 0.01))
    return finished(rng, faded(canvas[: count(seconds)], 0.001, 0.1))


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


def coin(rng: Generator) -> np.ndarray:
    """A coin that drops, bounces ever faster and spins out."""
    seconds, base = rng.uniform(0.8, 1.2), pick(rng, 2600, 4500)
    modes = base * scattered(rng, np.array([1, 1.57, 2.2]), 0.05)
    canvas, at, gap, strength = np.zeros(count(seconds)), 0.0, rng.uniform(0.18, 0.3), 1.0
    while gap > 0.008 and at < seconds - 0.05:
        place(canvas, strength * ring(modes, rng.uniform(0.4, 1, 3), [0.06, 0.04, 0.03], 0.3), at)
        at, gap, strength = at + gap, gap * rng.uniform(0.68, 0.85), strength * 0.87
    return finished(rng, room(rng, canvas, 0.3, 0.1))


def desk_bell(rng: Generator) -> np.ndarray:
    """The ding of a hotel bell."""
    seconds, base = rng.uniform(0.7, 1.2), pick(rng, 1800, 2800)
    samples = ring(base * scattered(rng, CUP, 0.01), [1, 0.3, 0.3, 0.15, 0.1], [0.6, 0.3, 0.2, 0.1, 0.1], seconds)
    samples += 0.05 * tone(base * 1.003, seconds) * decay(seconds, 0.6)
    return finished(rng, faded(samples, 0.001, 0.2))


def tower_bell(rng: Generator) -> np.ndarray:
    """A rendered tubular bell with the hum of a larger bell below it."""
    keys = tuple(range(56, 76, 2))
    key = int(rng.integers(len(keys)))
    seconds = rng.uniform(1.0, 1.2)
    note = made_midi.notes(14, keys, 110, 2.0)[key].astype(np.float64)[: count(seconds)] / 32_768
    hum = 440 * 2 ** ((keys[key] - 81) / 12)
    hum_tone = ring([hum, hum * 2.4], [0.25, 0.15], [2, 1.5], seconds)
    return finished(rng, faded(room(rng, note + np.abs(note).max() * hum_tone, 1.5, rng.uniform(0.2, 0.6)), 0.001, 0.15))
