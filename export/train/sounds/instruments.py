"""Short phrases of musical instruments, and single strokes of drums, from General MIDI notes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from . import midi
from .waves import RATE, count, faded, finished, pick, place, room

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
CHORDS = ((0, 4, 7, 12), (0, 3, 7, 12), (0, 4, 7, 10), (0, 5, 7, 12), (0, 7, 12, 16))
KEY_STEP = 2  # semitones between rendered keys; keys between them are played faster or slower


@dataclass(frozen=True)
class Instrument:
    """The typical use of an instrument."""

    programs: tuple[int, ...]
    low: int  # lowest and highest key
    high: int
    styles: tuple[str, ...] = ("melody",)  # melody, chords, strum, arpeggio, long
    fastest: float = 0.18  # seconds a note of a melody
    slowest: float = 0.6
    held: float = 2.2  # seconds that a key is held in the rendering
    rings: bool = False  # notes continue to sound under the next ones
    velocity: int = 100


INSTRUMENTS = {
    "piano": Instrument((0, 1), 45, 84, ("melody", "chords", "arpeggio"), rings=True),
    "harpsichord": Instrument((6,), 48, 84, ("melody", "chords", "arpeggio"), 0.12, 0.35, rings=True),
    "glockenspiel": Instrument((9,), 72, 96, ("melody", "arpeggio"), 0.18, 0.5, rings=True),
    "xylophone": Instrument((12, 13), 60, 91, ("melody",), 0.1, 0.3, rings=True),
    "church organ": Instrument((19,), 43, 79, ("chords", "long", "melody"), 0.3, 0.8),
    "accordion": Instrument((21, 23), 60, 84, ("melody",), 0.2, 0.5),
    "harmonica": Instrument((22,), 60, 79, ("melody",), 0.2, 0.6),
    "acoustic guitar": Instrument((24, 25), 40, 74, ("strum", "arpeggio", "melody"), 0.15, 0.4, rings=True),
    "electric guitar": Instrument((29, 30), 40, 76, ("chords", "melody"), 0.15, 0.5),
    "violin": Instrument((40,), 58, 91, ("melody", "long"), 0.25, 0.8, 2.6),
    "cello": Instrument((42,), 36, 62, ("melody", "long"), 0.35, 0.9, 2.6),
    "harp": Instrument((46,), 45, 88, ("arpeggio", "melody"), 0.1, 0.25, rings=True),
    "trumpet": Instrument((56,), 55, 84, ("melody", "long"), 0.15, 0.6),
    "trombone": Instrument((57,), 40, 65, ("melody", "long"), 0.2, 0.6),
    "french horn": Instrument((60,), 43, 72, ("melody", "long"), 0.3, 0.9),
    "saxophone": Instrument((65, 66), 46, 77, ("melody", "long"), 0.15, 0.6),
    "clarinet": Instrument((71,), 52, 84, ("melody", "long"), 0.2, 0.6),
    "flute": Instrument((73,), 62, 93, ("melody", "long"), 0.2, 0.6),
    "synthesizer": Instrument((80, 81, 84), 48, 84, ("melody", "arpeggio"), 0.1, 0.3),
    "banjo": Instrument((105,), 50, 79, ("arpeggio", "melody"), 0.1, 0.22, rings=True),
}


@dataclass(frozen=True)
class Stroke:
    """A percussion instrument: its sounds in the drum kits, its decay, and the number of hits."""

    kits: tuple[int, ...]
    keys: tuple[int, ...]
    seconds: tuple[float, float] = (0.3, 0.8)
    pitch: float = 0.08  # largest change of speed


STROKES = {
    "snare drum": Stroke((0, 8, 16, 32), (38, 40), (0.25, 0.5)),
    "cymbal": Stroke((0,), (49, 51, 59), (0.7, 1.2)),
    "hi-hat": Stroke((0, 8), (42, 44), (0.25, 0.5), 0.04),
    "cowbell": Stroke((0,), (56,), (0.3, 0.5), 0.2),
    "wood block": Stroke((0,), (76, 77, 75), (0.2, 0.35), 0.15),
    "sleigh bells": Stroke((0,), (83,), (0.3, 0.6), 0.1),
}


def phrase(name: str, rng: np.random.Generator) -> np.ndarray:
    """Two to three seconds of an instrument: a melody, chords, an arpeggio or one long note."""
    player = INSTRUMENTS[name]
    bank = _Bank(player, int(rng.choice(player.programs)), float(rng.uniform(-0.25, 0.25)))
    seconds = rng.uniform(2.0, 3.0)
    canvas = np.zeros(count(seconds))
    style = str(rng.choice(player.styles))
    play = {"melody": _melody, "chords": _chords, "strum": _strum, "arpeggio": _arpeggio, "long": _long}[style]
    play(rng, player, bank, canvas)
    return finished(rng, room(rng, canvas, pick(rng, 0.15, 1.0), rng.uniform(0.05, 0.4)))


class _Bank:
    """The notes of one instrument, detuned together by a small random amount."""

    def __init__(self, player: Instrument, program: int, tuning: float):
        self.player = player
        self.tuning = tuning
        self.keys = tuple(range(player.low, player.high + 1, KEY_STEP))
        self.notes = midi.notes(program, self.keys, player.velocity, player.held)

    def note(self, key: float, seconds: float) -> np.ndarray:
        """A note that is released after `seconds`; ringing strings and bars are damped slowly."""
        nearest = int(np.argmin(np.abs(np.array(self.keys) - key)))
        samples = changed_speed(self.notes[nearest], 2 ** ((key - self.keys[nearest] + self.tuning) / 12))
        length = min(len(samples) / RATE, seconds + 0.8 if self.player.rings else seconds)
        return faded(samples[: count(length)], 0.001, min(length / 2, 0.5 if self.player.rings else 0.08))


def changed_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Converts int16 samples to floats, played faster or slower."""
    return soxr.resample(samples.astype(np.float32) / 32_768, RATE * speed, RATE, quality="LQ")


def _scale(rng: np.random.Generator, player: Instrument) -> np.ndarray:
    """The keys of one scale within the instrument's range."""
    steps = np.array(SCALES[rng.integers(len(SCALES))]) + rng.integers(12)
    keys = np.arange(player.low, player.high + 1)
    return keys[np.isin(keys % 12, steps % 12)]


def _melody(rng: np.random.Generator, player: Instrument, bank: _Bank, canvas: np.ndarray) -> None:
    """A random walk over a scale, mostly in small steps, in long and short notes."""
    scale = _scale(rng, player)
    beat = pick(rng, player.fastest, player.slowest)
    at = 0.0
    place_in_scale = int(rng.integers(len(scale) // 6, len(scale) * 5 // 6))
    while at < len(canvas) / RATE - 0.1:
        lasts = beat * float(rng.choice((1, 1, 1, 2)))
        place(canvas, bank.note(scale[place_in_scale], lasts) * rng.uniform(0.7, 1.0), at)
        at += lasts
        place_in_scale = int(np.clip(place_in_scale + rng.choice((-3, -2, -1, -1, 1, 1, 2, 3)), 0, len(scale) - 1))


def _chord(rng: np.random.Generator, player: Instrument) -> np.ndarray:
    root = rng.integers(player.low, max(player.low + 1, player.high - 20))
    return root + np.array(CHORDS[rng.integers(len(CHORDS))])


def _chords(rng: np.random.Generator, player: Instrument, bank: _Bank, canvas: np.ndarray) -> None:
    """One to four chords, one after the other."""
    seconds = len(canvas) / RATE
    changes = int(rng.integers(1, 5)) if player.slowest < 0.8 else int(rng.integers(1, 3))
    for i in range(changes):
        for key in _chord(rng, player):
            place(canvas, bank.note(key, seconds / changes) * rng.uniform(0.6, 1.0), i * seconds / changes + rng.uniform(0, 0.01))


def _strum(rng: np.random.Generator, player: Instrument, bank: _Bank, canvas: np.ndarray) -> None:
    """Six strings stroked down and up to a beat."""
    chord = _chord(rng, player)
    beat = pick(rng, 0.22, 0.6)
    at = 0.0
    strings = np.concatenate([chord, chord[1:3] + 12])
    while at < len(canvas) / RATE - 0.1:
        order = strings if rng.random() < 0.7 else strings[::-1]
        for i, key in enumerate(order):
            place(canvas, bank.note(key, beat) * rng.uniform(0.5, 1.0), at + i * rng.uniform(0.006, 0.02))
        at += beat
        if rng.random() < 0.25:
            strings = strings + rng.choice((-5, -2, 2, 3))
            strings = np.clip(strings, player.low, player.high)


def _arpeggio(rng: np.random.Generator, player: Instrument, bank: _Bank, canvas: np.ndarray) -> None:
    """The tones of chords, one after the other, up and down."""
    beat = pick(rng, player.fastest, min(player.slowest, 0.35))
    at = 0.0
    while at < len(canvas) / RATE - 0.1:
        chord = _chord(rng, player)
        for key in np.concatenate([chord, chord[1:] + 12, chord[-2:0:-1]]):
            place(canvas, bank.note(min(key, player.high), beat) * rng.uniform(0.7, 1.0), at)
            at += beat


def _long(rng: np.random.Generator, player: Instrument, bank: _Bank, canvas: np.ndarray) -> None:
    """One or two notes held."""
    scale = _scale(rng, player)
    start = int(rng.integers(len(scale) // 5, len(scale) * 4 // 5))
    second = rng.uniform(0.8, 1.5) if rng.random() < 0.5 else len(canvas) / RATE
    place(canvas, bank.note(scale[start], second), 0)
    place(canvas, bank.note(scale[min(len(scale) - 1, max(0, start + int(rng.choice((-2, -1, 1, 2)))))], 2.0), second)


def _hit(name: str, rng: np.random.Generator) -> np.ndarray:
    stroke = STROKES[name]
    kit = int(rng.choice(stroke.kits))
    velocity = int(rng.choice((75, 100, 120)))
    sample = midi.notes(kit, stroke.keys, velocity, 1.5, drums=True)[rng.integers(len(stroke.keys))]
    return changed_speed(sample, 2 ** rng.uniform(-stroke.pitch * 2, stroke.pitch * 2))


def stroke(name: str, rng: np.random.Generator) -> np.ndarray:
    """One stroke of a percussion instrument."""
    length = rng.uniform(*STROKES[name].seconds)
    sample = faded(_hit(name, rng)[: count(length)], 0.001, 0.25 * length)
    return finished(rng, room(rng, sample, pick(rng, 0.1, 0.4), rng.uniform(0.0, 0.25)))


def roll(name: str, rng: np.random.Generator) -> np.ndarray:
    """A drum roll: strokes close together, swelling or even."""
    seconds = rng.uniform(2.0, 3.0)
    every = pick(rng, 0.045, 0.075)
    canvas = np.zeros(count(seconds))
    hit = [_hit(name, rng) for _ in range(3)]
    at = 0.0
    i = 0
    swell = rng.uniform(0.3, 1.0)
    while at < seconds:
        strength = (swell + (1 - swell) * at / seconds) * rng.uniform(0.75, 1.0)
        place(canvas, hit[i % len(hit)][: count(0.4)] * strength, at)
        at = at + every * rng.uniform(0.92, 1.08)
        i = i + 1
    return finished(rng, room(rng, canvas, pick(rng, 0.2, 0.8), rng.uniform(0.05, 0.3)))


def timpani(rng: np.random.Generator) -> np.ndarray:
    """One stroke on a kettledrum."""
    keys = tuple(range(38, 56, 2))
    sample = changed_speed(midi.notes(47, keys, 110, 2.0)[rng.integers(len(keys))], 2 ** rng.uniform(-0.1, 0.1))
    length = rng.uniform(0.7, 1.2)
    return finished(rng, room(rng, faded(sample[: count(length)], 0.001, 0.4), pick(rng, 0.3, 1.0), rng.uniform(0.05, 0.3)))


def applause(rng: np.random.Generator) -> np.ndarray:
    """A clapping crowd: two or three copies of General MIDI's applause, at other speeds and offsets."""
    keys = tuple(range(52, 74, 3))
    seconds = rng.uniform(2.2, 3.0)
    crowds = midi.notes(126, keys, 110, 4.0)
    canvas = np.zeros(count(seconds))
    for _ in range(int(rng.integers(2, 4))):
        crowd = changed_speed(crowds[rng.integers(len(keys))], pick(rng, 0.9, 1.1))[: count(3.9)]
        start = int(rng.integers(0, len(crowd) - len(canvas) + 1)) if len(crowd) > len(canvas) else 0
        place(canvas, faded(crowd[start : start + len(canvas)] * rng.uniform(0.4, 1), 0.02, 0.05), 0)
    return finished(rng, room(rng, canvas, pick(rng, 0.3, 1.5), rng.uniform(0.1, 0.5)))
