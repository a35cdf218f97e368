"""Electric signals: sirens, alarms, telephones, beeps, horns."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from made_waves import RATE, ambience, band, count, decay, drift, faded, finished, hiss, peaks, pick, place, repeat, ring, room, shaped, slope, time, tone

SAW = [1 / i for i in range(1, 16)]
SQUARE = [1 / i if i % 2 else 0.0 for i in range(1, 16)]


def siren(rng: Generator) -> np.ndarray:
    """A wail or a yelp up and down, or the two tones of European cars."""
    seconds = rng.uniform(2.2, 3.0)
    low, t = pick(rng, 450, 750), time(seconds)
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
    hertz, on = pick(rng, 2900, 3500), pick(rng, 0.12, 0.5)
    beep = faded(tone(hertz, on, [1.0, rng.uniform(0.1, 0.4)]), 0.004, 0.01)
    samples = repeat(rng, rng.uniform(2.2, 3.0), on * rng.uniform(1.6, 2.2), lambda: beep)
    return finished(rng, room(rng, samples, pick(rng, 0.2, 0.6), rng.uniform(0.05, 0.3)))


def alarm_clock(rng: Generator) -> np.ndarray:
    """Groups of four short beeps of a digital clock."""
    hertz, on = pick(rng, 1500, 2600), rng.uniform(0.05, 0.09)
    beep = faded(tone(hertz, on, SQUARE[:5]), 0.003, 0.006)
    group = repeat(rng, on * 8.5, on * 2, lambda: beep)
    samples = repeat(rng, rng.uniform(2.2, 3.0), on * rng.uniform(11, 15), lambda: group)
    return finished(rng, room(rng, samples, 0.2, rng.uniform(0.05, 0.2)))


def telephone_ring(rng: Generator) -> np.ndarray:
    """The two bells of an old telephone, struck in turn."""
    seconds, base = rng.uniform(2.0, 3.0), pick(rng, 900, 1500)
    ratios = np.array([1.0, 2.45, 2.92, 4.3])
    gap = 1 / rng.uniform(18, 26)
    bells = [ring(base * pitch * ratios, [1, 0.7, 0.5, 0.3], [0.25, 0.2, 0.15, 0.1], 0.6) for pitch in (1.0, rng.uniform(1.15, 1.3))]
    canvas, stop = np.zeros(count(seconds)), seconds - rng.uniform(0.3, 0.7)
    for i, at in enumerate(np.arange(0, stop, gap)):
        place(canvas, bells[i % 2] * rng.uniform(0.8, 1.0), at)
    return finished(rng, room(rng, canvas, 0.3, rng.uniform(0.05, 0.25)))


def dial_tone(rng: Generator) -> np.ndarray:
    """The steady double tone of a telephone line, through a telephone's poor loudspeaker."""
    seconds, pitch = rng.uniform(2.0, 3.0), rng.uniform(0.96, 1.04)
    both = np.tanh(rng.uniform(0.4, 1.5) * (tone(350 * pitch, seconds) + tone(440 * pitch, seconds)))
    return finished(rng, both + 0.02 * hiss(rng, seconds, band(300, 3400)))


def busy_signal(rng: Generator) -> np.ndarray:
    """The double tone on and off of an engaged line."""
    on = rng.uniform(0.25, 0.5)
    pitch = rng.uniform(0.96, 1.04)
    beep = faded(tone(480 * pitch, on, [1, 0.1]) + tone(620 * pitch, on, [1, 0.1]), 0.005, 0.005)
    samples = repeat(rng, rng.uniform(2.2, 3.0), on * 2, lambda: beep)
    return finished(rng, samples + 0.01 * hiss(rng, len(samples) / RATE + 1e-5, band(300, 3400))[: len(samples)])


def phone_dialing(rng: Generator) -> np.ndarray:
    """Keys of a touch-tone telephone."""
    on = rng.uniform(0.08, 0.16)

    def key() -> np.ndarray:
        low, high = rng.choice((697, 770, 852, 941)), rng.choice((1209, 1336, 1477))
        return faded(tone(float(low), on) + tone(float(high), on), 0.004, 0.004)

    return finished(rng, repeat(rng, rng.uniform(2.0, 3.0), on * rng.uniform(1.5, 2.2), key, 0.1))


def beep(rng: Generator) -> np.ndarray:
    """One electronic beep."""
    seconds = rng.uniform(0.2, 0.7)
    timbre = [[1.0], [1.0, 0.2], SQUARE[:5]][rng.integers(3)]
    return finished(rng, faded(tone(pick(rng, 600, 2200), seconds, timbre), 0.006, 0.012))


def reversing_beeps(rng: Generator) -> np.ndarray:
    """A lorry that drives backwards: beeps over a diesel engine."""
    seconds, on = rng.uniform(2.3, 3.0), rng.uniform(0.3, 0.5)
    tone_on = faded(tone(pick(rng, 1000, 1500), on, [1, 0.3, 0.2]), 0.01, 0.02)
    samples = repeat(rng, seconds, 2 * on, lambda: tone_on)
    engine = hiss(rng, seconds, slope(1.0, 80)) * drift(rng, seconds, 12, 0.5, 1.0)
    return finished(rng, room(rng, samples + 0.25 * engine[: len(samples)], 0.8, 0.3))


def buzzer(rng: Generator) -> np.ndarray:
    """The rasp of a door opener or of a wrong answer."""
    seconds, hertz = rng.uniform(0.5, 1.2), pick(rng, 110, 240)
    colour = peaks([pick(rng, 900, 1500), pick(rng, 2200, 3400)], [700, 900], [1.0, 0.8])
    rasp = shaped(tone(hertz, seconds, [1.0] * 60), colour)
    return finished(rng, ambience(rng, room(rng, faded(rasp, 0.008, 0.02), 0.3, 0.2)))


def laser(rng: Generator) -> np.ndarray:
    """A falling zap of a video game."""
    seconds = rng.uniform(0.2, 0.5)
    start, end = pick(rng, 3000, 6000), pick(rng, 150, 400)
    hertz = end + (start - end) * np.exp(-time(seconds) / (seconds * rng.uniform(0.15, 0.3)))
    return finished(rng, tone(hertz, seconds, [1, 0.4, 0.25]) * decay(seconds, seconds * 0.5))


def sonar(rng: Generator) -> np.ndarray:
    """The ping of a submarine with its long echo under water."""
    seconds, base = rng.uniform(1.1, 1.2), pick(rng, 900, 1800)
    ping = tone(base * (1 + 0.01 * np.exp(-time(seconds) / 0.05)), seconds, [1, 0.02]) * decay(seconds, rng.uniform(0.06, 0.15), 0.01)
    wet = room(rng, ping, pick(rng, 2.5, 4.0), rng.uniform(1.5, 3.0))
    return finished(rng, ambience(rng, wet, -34, -26))


def static(rng: Generator) -> np.ndarray:
    """The noise between two radio stations, with crackles."""
    seconds = rng.uniform(2.0, 3.0)
    noise = hiss(rng, seconds, band(pick(rng, 60, 300), pick(rng, 4000, 7500), 1)) * drift(rng, seconds, 3, 0.8, 1.0)
    crackles = (rng.random(len(noise)) < rng.uniform(0.0002, 0.002)) * rng.standard_normal(len(noise))
    return finished(rng, noise + 4 * crackles)


def mains_hum(rng: Generator) -> np.ndarray:
    """50 or 60 Hz and its harmonics, as from an amplifier."""
    seconds = rng.uniform(2.0, 3.0)
    strengths = [0.4, 1.0, 0.2, 0.6, 0.15, 0.4] + [0.25 * rng.random() for _ in range(20)]
    samples = tone(float(rng.choice((50, 60))), seconds, strengths)
    return finished(rng, samples + 0.03 * hiss(rng, seconds, slope(0.7)))


def car_horn(rng: Generator) -> np.ndarray:
    """The two notes of a car's horn, one or two blows."""
    low = pick(rng, 330, 480)
    formants = peaks([pick(rng, 900, 1500), pick(rng, 2200, 3200)], [500, 700], [1, 0.7])

    def blow(seconds: float) -> np.ndarray:
        both = tone(low, seconds, SAW) + tone(low * ratio, seconds, SAW)
        return faded(shaped(both, formants), 0.02, 0.04)

    ratio, seconds = rng.uniform(1.18, 1.28), rng.uniform(0.35, 1.0)
    return finished(rng, room(rng, blow(seconds), pick(rng, 0.2, 0.8), rng.uniform(0.05, 0.3)))


def train_horn(rng: Generator) -> np.ndarray:
    """A chord of air horns, heard outside."""
    seconds, base = rng.uniform(2.0, 2.8), pick(rng, 260, 340)
    chord = np.array([[1, 1.19, 1.5, 1.78, 2.0], [1, 1.26, 1.5, 1.68, 2.0], [1, 1.19, 1.41, 1.68, 2.12]][rng.integers(3)])
    swell = 1 - 0.04 * np.exp(-time(seconds) / 0.08)
    horns = sum(tone(base * c * swell * rng.uniform(0.995, 1.005), seconds, [0.7, 1, 0.9, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]) for c in chord)
    lasts = faded(horns * (1 + 0.1 * drift(rng, seconds, 30, -1, 1)), 0.08, rng.uniform(0.3, 0.8))
    return finished(rng, ambience(rng, room(rng, lasts, pick(rng, 1.5, 3.0), rng.uniform(0.6, 1.2)), -30, -20))


def foghorn(rng: Generator) -> np.ndarray:
    """The low blast of a ship."""
    seconds = rng.uniform(2.0, 3.0)
    base = pick(rng, 80, 150)
    wobble = 1 + 0.004 * drift(rng, seconds, 6, -1, 1)
    blast = shaped(tone(base * wobble, seconds, SAW), peaks([250, 600], [150, 300], [1, 0.4]))
    rough = 1 + 0.2 * drift(rng, seconds, 40, -1, 1)
    return finished(rng, room(rng, faded(blast * rough, 0.15, 0.5), 2.0, 0.5))
