"""What people do: clapping, walking, knocking, typing, whistling."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from made_animals import VOICE, contour
from made_waves import RATE, ambience, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, repeat, ring, room, shaped, slope, time, tone


def clap(rng: Generator, hand: float) -> np.ndarray:
    """Two hands: a short noise with the resonance of the hollow between them."""
    noise = hiss(rng, 0.12, peaks([hand, hand * 2.1, 3500], [hand / 4, hand / 2, 2500], [1, 0.5, 0.35]))
    return noise * decay(0.12, rng.uniform(0.006, 0.014), 0.0008)


def applause(rng: Generator) -> np.ndarray:
    """Many people clapping, each with other hands: more strokes a second than one can count."""
    seconds = rng.uniform(2.3, 3.0)
    canvas, rate = np.zeros(count(seconds)), pick(rng, 120, 400)
    claps = [clap(rng, pick(rng, 700, 2400)) for _ in range(24)]
    swell = drift(rng, seconds, 1, 0.6, 1.0)
    for at in rng.uniform(0, seconds, int(rate * seconds)):
        place(canvas, claps[rng.integers(24)] * rng.uniform(0.1, 1.0) ** 2, at)
    return finished(rng, ambience(rng, room(rng, canvas * swell, pick(rng, 0.6, 1.5), rng.uniform(0.4, 1.0)), -30, -22))


def clapping(rng: Generator) -> np.ndarray:
    """One person who claps."""
    hand = pick(rng, 800, 1600)
    samples = repeat(rng, rng.uniform(2.0, 3.0), pick(rng, 0.2, 0.5), lambda: clap(rng, hand * rng.uniform(0.93, 1.07)), 0.03)
    return finished(rng, room(rng, samples, pick(rng, 0.3, 0.8), rng.uniform(0.1, 0.4)))


def heartbeat(rng: Generator) -> np.ndarray:
    """Lub-dub, as through a stethoscope."""
    every, low = 60 / pick(rng, 60, 110), pick(rng, 45, 70)

    def beat() -> np.ndarray:
        canvas = np.zeros(count(0.6))
        for at, pitch, strength in ((0, 1.0, 1.0), (every * 0.36, 1.35, 0.7)):
            thud = tone(low * pitch * (1 - 0.3 * time(0.15) / 0.15), 0.15, [1, 0.5, 0.2]) * decay(0.15, 0.035, 0.008)
            place(canvas, strength * (thud + 0.1 * hiss(rng, 0.15, band(60, 250)) * decay(0.15, 0.03)), at)
        return canvas

    return finished(rng, repeat(rng, rng.uniform(2.4, 3.0), every, beat, 0.02))


def footsteps(rng: Generator) -> np.ndarray:
    """Shoes on a hard floor: heel, then sole, in an echoing corridor."""
    body = pick(rng, 120, 240)

    def step() -> np.ndarray:
        canvas = np.zeros(count(0.3))
        place(canvas, hiss(rng, 0.1, peaks([body, body * 5, 2400], [80, 400, 1500], [1, 0.4, 0.2])) * decay(0.1, 0.016, 0.003), 0)
        place(canvas, 0.4 * hiss(rng, 0.15, band(400, 4000, 1)) * decay(0.15, 0.03, 0.02), rng.uniform(0.07, 0.11))
        return canvas * rng.uniform(0.7, 1)

    samples = repeat(rng, rng.uniform(2.3, 3.0), pick(rng, 0.4, 0.62), step, 0.04)
    return finished(rng, ambience(rng, room(rng, samples, pick(rng, 0.5, 1.2), rng.uniform(0.3, 0.7)), -44, -32))


def knock(rng: Generator) -> np.ndarray:
    """Two to four knocks on a wooden door: knuckles, then the panel."""
    body = pick(rng, 160, 320)
    colour = peaks([body, body * 2.1, body * 4.3], [body * 0.3, body * 0.6, body * 2], [1, 0.6, 0.25])
    times = int(rng.integers(2, 5))
    every = rng.uniform(0.15, 0.24)
    canvas = np.zeros(count(times * every + 0.25))
    for i in range(times):
        blow = hiss(rng, 0.2, colour) * decay(0.2, rng.uniform(0.018, 0.03), 0.001)
        place(canvas, blow * rng.uniform(0.8, 1), i * every * rng.uniform(0.97, 1.03))
    return finished(rng, ambience(rng, room(rng, canvas, pick(rng, 0.2, 0.6), rng.uniform(0.2, 0.5))))


def typing(rng: Generator) -> np.ndarray:
    """Fingers on a computer's keyboard: light clicks down and up."""
    colour = [pick(rng, 1800, 2800), pick(rng, 3800, 5600)]

    def key() -> np.ndarray:
        canvas = np.zeros(count(0.2))
        for at, strength in ((0, 1.0), (rng.uniform(0.012, 0.025), 0.6), (rng.uniform(0.07, 0.12), 0.4)):
            tap = hiss(rng, 0.05, peaks([500, *colour], [200, 700, 1200], [0.35, 1, 0.8])) * decay(0.05, rng.uniform(0.002, 0.004), 0.001)
            place(canvas, strength * tap, at)
        return canvas * rng.uniform(0.3, 1)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.11, 0.18), key, 0.35)
    return finished(rng, ambience(rng, room(rng, samples, 0.25, 0.3), -38, -28))


def typewriter(rng: Generator) -> np.ndarray:
    """A mechanical typewriter: harder, with the ring of its metal."""
    modes = pick(rng, 1200, 1900) * np.array([1, 1.8, 2.7, 3.9])

    def key() -> np.ndarray:
        strike = ring(modes, rng.uniform(0.3, 1, 4), [0.012, 0.01, 0.008, 0.006], 0.12)
        return (strike + 1.5 * hiss(rng, 0.12, band(300, 6500, 0.6)) * decay(0.12, 0.008, 0.0005)) * rng.uniform(0.6, 1)

    return finished(rng, room(rng, repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.12, 0.2), key, 0.25), 0.3, 0.15))


def whistling(rng: Generator) -> np.ndarray:
    """A person who whistles a tune with the lips."""
    seconds, base = rng.uniform(2.2, 3.0), pick(rng, 1000, 1500)
    steps, points = (0, 2, 4, 5, 7, 9), []
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
    seconds, base = rng.uniform(0.4, 1.1), pick(rng, 2300, 3000)
    pea = np.sin(2 * np.pi * rng.uniform(35, 55) * time(seconds))
    both = tone(base * (1 + 0.02 * pea), seconds, [1, 0.15]) + 0.6 * tone(base * rng.uniform(1.06, 1.12) * (1 + 0.02 * pea), seconds)
    blow = (both + 0.15 * hiss(rng, seconds, band(1500, 6000, 1))) * (1 + 0.5 * pea)
    return finished(rng, room(rng, faded(blow, 0.02, 0.05), 0.6, 0.2))


def snoring(rng: Generator) -> np.ndarray:
    """A rattling breath in, a soft breath out."""
    seconds = rng.uniform(2.6, 3.0)
    lasts = rng.uniform(1.1, 1.4)
    rate = pick(rng, 25, 50) * drift(rng, lasts, 6, 0.85, 1.15)
    rattle = tone(rate, lasts, [1.0] * 60) + 0.6 * hiss(rng, lasts)
    inward = shaped(rattle, peaks([300, 700, 1700], [120, 200, 400], [1, 0.6, 0.2])) * np.sin(np.pi * time(lasts) / lasts) ** 0.7
    outward = 0.25 * hiss(rng, lasts, peaks([500, 1500], [250, 600], [1, 0.5])) * np.sin(np.pi * time(lasts) / lasts)
    canvas = np.zeros(count(seconds))
    place(canvas, inward / np.abs(inward).max(), 0)
    place(canvas, outward / np.abs(outward).max() * 0.3, lasts + 0.05)
    return finished(rng, canvas)


def finger_snap(rng: Generator) -> np.ndarray:
    """A snap of two fingers."""
    pitch = pick(rng, 1500, 2600)
    snap = hiss(rng, 0.3, peaks([pitch, pitch * 1.8], [200, 500], [1, 0.4])) * decay(0.3, rng.uniform(0.006, 0.012), 0.0008)
    return finished(rng, room(rng, snap, pick(rng, 0.2, 0.5), rng.uniform(0.1, 0.3)))


def hammer(rng: Generator) -> np.ndarray:
    """One blow on a nail."""
    modes = pick(rng, 700, 1500) * np.array([1, 1.5, 2.6, 4.4])
    blow = ring(modes, [0.6, 1, 0.8, 0.6], [0.04, 0.03, 0.03, 0.02], 0.4)
    blow += 1.5 * hiss(rng, 0.4, band(150, 3000, 0.7)) * decay(0.4, 0.012, 0.0005)
    return finished(rng, room(rng, blow, pick(rng, 0.2, 0.6), rng.uniform(0.1, 0.35)))


def sawing(rng: Generator) -> np.ndarray:
    """A hand saw in wood: forth and back."""
    every, teeth, step = pick(rng, 0.3, 0.55), pick(rng, 70, 140), [0]
    colour = peaks([pick(rng, 900, 1500), pick(rng, 2500, 4000)], [400, 900], [1, 0.7])

    def stroke() -> np.ndarray:
        step[0] += 1
        lasts = every * 0.9
        speed = np.sin(np.pi * time(lasts) / lasts)
        rasp = hiss(rng, lasts) * (1 + 0.8 * np.sin(2 * np.pi * np.cumsum(teeth * (0.4 + speed)) / RATE))
        return shaped(rasp * speed, colour) * (1.0 if step[0] % 2 else 0.6)

    return finished(rng, repeat(rng, rng.uniform(2.2, 3.0), every, stroke, 0.03))


def camera(rng: Generator) -> np.ndarray:
    """The shutter of a camera: two clicks with a whir between."""
    gap = rng.uniform(0.07, 0.16)
    canvas = np.zeros(count(gap + 0.25))
    for at, strength in ((0, 0.8), (gap, 1.0), (gap + 0.03, 0.5)):
        place(canvas, strength * hiss(rng, 0.1, peaks([800, 2400, 5000], [300, 600, 1200], [0.6, 1, 0.8])) * decay(0.1, 0.006, 0.0006), at)
    place(canvas, 0.12 * hiss(rng, gap, band(1500, 6000, 1)), 0)
    return finished(rng, room(rng, canvas, 0.2, 0.1))


def zipper(rng: Generator) -> np.ndarray:
    """A zip that is pulled: teeth ever faster."""
    seconds = rng.uniform(0.4, 0.9)
    rate = np.linspace(pick(rng, 40, 80), pick(rng, 120, 260), count(seconds))
    teeth = tone(rate, seconds, [1.0] * 30) + 0.6 * hiss(rng, seconds)
    pitch = np.linspace(0, 1, count(seconds))
    low, high = (shaped(teeth, peaks([c, c * 2], [c / 3, c / 2], [1, 0.6])) for c in (1700, 3200))
    return finished(rng, faded(low * (1 - pitch) + high * pitch, 0.02, 0.04))


def whip(rng: Generator) -> np.ndarray:
    """A whoosh through the air that ends in a crack."""
    lead = rng.uniform(0.12, 0.25)
    canvas = np.zeros(count(lead + 0.35))
    place(canvas, 0.35 * hiss(rng, lead, band(500, 3500, 1)) * (time(lead) / lead) ** 2, 0)
    place(canvas, 3 * hiss(rng, 0.3, band(800, 7500, 0.7)) * decay(0.3, 0.008, 0.0004), lead)
    return finished(rng, room(rng, canvas, 0.4, 0.25))


def whoosh(rng: Generator) -> np.ndarray:
    """Something swings past."""
    seconds = rng.uniform(0.35, 0.8)
    t = time(seconds) / seconds
    near = np.exp(-(((t - 0.5) / 0.17) ** 2))
    low, high = hiss(rng, seconds, peaks([500], [250], [1])), hiss(rng, seconds, peaks([1500], [700], [1]))
    return finished(rng, low * near**0.5 * 0.6 + high * near)


def boing(rng: Generator) -> np.ndarray:
    """A spring of a cartoon."""
    seconds, base = rng.uniform(0.6, 1.1), pick(rng, 110, 220)
    wobble = np.sin(2 * np.pi * rng.uniform(9, 15) * time(seconds)) * np.exp(-time(seconds) / 0.4)
    twang = tone(base * (1 + 0.25 * wobble), seconds, VOICE[:20])
    return finished(rng, shaped(twang, peaks([600, 1500], [300, 500], [1, 0.6])) * decay(seconds, 0.25))


def pop(rng: Generator) -> np.ndarray:
    """A cork or a bubble that pops."""
    seconds = 0.2
    body = tone(pick(rng, 350, 800) * np.linspace(1, pick(rng, 1.2, 1.8), count(seconds)), seconds, [1, 0.2]) * decay(seconds, 0.018, 0.0006)
    return finished(rng, room(rng, body + 0.2 * hiss(rng, seconds, slope(0.3)) * decay(seconds, 0.006, 0.0004), 0.2, 0.15))


def squeak(rng: Generator) -> np.ndarray:
    """A door that creaks on its hinges."""
    seconds = rng.uniform(0.7, 1.2)
    curve = drift(rng, seconds, 4, pick(rng, 180, 300), pick(rng, 400, 900))
    rough = 1 + 0.8 * drift(rng, seconds, 60, -1, 1)
    creak = shaped(tone(curve, seconds, VOICE[:20]) * rough, peaks([900, 2100, 3400], [200, 300, 400], [1, 0.7, 0.4]))
    return finished(rng, faded(creak * drift(rng, seconds, 6, 0.3, 1), 0.05, 0.1))


def hammering(rng: Generator) -> np.ndarray:
    """Blows of a hammer on wood."""
    wood, nail = pick(rng, 700, 1300), pick(rng, 2200, 3600)

    def blow() -> np.ndarray:
        canvas = clap(rng, wood * rng.uniform(0.95, 1.05))
        return canvas + 0.4 * ring([nail, nail * 1.6], [1, 0.6], [0.02, 0.012], 0.12)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.25, 0.55), blow, 0.03)
    return finished(rng, room(rng, samples, pick(rng, 0.3, 0.8), rng.uniform(0.1, 0.4)))


def chopping(rng: Generator) -> np.ndarray:
    """A knife on a wooden board."""
    board = pick(rng, 1100, 2000)

    def cut() -> np.ndarray:
        sound = hiss(rng, 0.15, peaks([board, board * 1.8, 350], [200, 500, 150], [1, 0.4, 0.5])) * decay(0.15, rng.uniform(0.007, 0.012), 0.0008)
        return sound * rng.uniform(0.7, 1)

    samples = repeat(rng, rng.uniform(2.2, 3.0), pick(rng, 0.16, 0.4), cut, 0.08)
    return finished(rng, ambience(rng, room(rng, samples, pick(rng, 0.2, 0.4), rng.uniform(0.1, 0.25))))
