"""Spoken digits as other speakers, rooms, microphones and recorders would give them."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from ..audio import SAMPLING_RATE, augment
from ..audio.augment import loud, trim_silence
from ..audio.log_mel import HOP, of_power, power_spectrum
from ..data.recordings import Recording

TRACTS = (0.84, 1.19)  # resonances of a voice, relative to the recorded ones
TRACT_KNOTS = (0, 600, 1300, 2400, 3800, 8000)  # hertz: between these the resonances also move by themselves,
TRACT_DEVIATION = 0.04  # by this standard deviation
PITCHES = (0.75, 1.35)
PITCH_GLIDE = 0.4  # the logarithm by which the pitch may rise or fall within a clip
TEMPOS = (0.5, 1.45)  # of several words
DURATIONS = (0.15, 0.7)  # seconds of a single word, whatever it is: else short words of unheard speakers are taken for "eight",
WIDEST_TEMPOS = (0.35, 1.8)  # within these tempos
SHORTEST_WORD = 0.1  # seconds
LONGEST_EDGE = 0.2  # seconds of silence before and after a string
SILENT_GAP = (0.08, 0.35)  # seconds between the digits of a string


class Span(NamedTuple):
    """The position of a word, in samples."""

    start: float
    end: float
    word: str


class Utterance(NamedTuple):
    samples: np.ndarray
    spans: list[Span]


def say(words: list[Recording]) -> Utterance:
    """Says one word, mostly close cut, or several in a row, through one microphone."""
    if len(words) == 1 and random.random() < 0.7:
        return say_alone(words[0])
    said = in_row(words)
    return Utterance(_equalized(said.samples), said.spans)


def say_alone(word: Recording) -> Utterance:
    """Says one word, often cut where it falls below a threshold, as recorders do: weak consonants are lost."""
    samples = _equalized(word.samples)
    if random.random() < 0.6:
        cut = trim_silence(samples, random.uniform(0.02, 0.3), random.uniform(0, 0.03))
        samples = cut if len(cut) > SHORTEST_WORD * SAMPLING_RATE else samples
    return Utterance(samples, [Span(0, len(samples), word.label)])


def in_row(words: list[Recording]) -> Utterance:
    """Concatenates words with pauses."""
    pause = lambda: np.zeros(int(random.uniform(*SILENT_GAP) * SAMPLING_RATE), np.float32)  # noqa: E731
    pieces = [pause()]
    spans = []
    end = len(pieces[0])
    for word in words:
        samples = loud(trim_silence(word.samples, 0.02, 0.02), random.uniform(0.5, 1.0))
        spans.append(Span(end, end + len(samples), word.label))
        pieces += [samples, pause()]
        end += len(pieces[-2]) + len(pieces[-1])
    return Utterance(np.concatenate(pieces), spans)


def vary(said: Utterance, backgrounds: list[Recording], synthetic: bool) -> tuple[np.ndarray, list[Span]]:
    """Computes the log-mel of words in another recording and of another voice, and the positions of the words in it."""
    said = Utterance(_recorded(said.samples, backgrounds, synthetic), said.spans)
    if random.random() < 0.5:
        said = between_silences(said)
    samples = augment.change_speed(said.samples, 0.8, 1.25) if random.random() < 0.8 else said.samples
    mel = _another_voice(samples, _tempo(said.spans))
    stretch = mel.shape[1] / len(said.samples) * HOP
    spans = [Span(span.start * stretch, span.end * stretch, span.word) for span in said.spans]
    return augment.tilt_spectrum(mel, strength=0.25), spans


def between_silences(said: Utterance) -> Utterance:
    """Adds digital silence before and after words, whose noise then begins and ends with them."""
    before, after = (int(random.uniform(0, LONGEST_EDGE) * SAMPLING_RATE) for _ in range(2))
    spans = [Span(span.start + before, span.end + before, span.word) for span in said.spans]
    return Utterance(np.pad(said.samples, (before, after)), spans)


def _equalized(samples: np.ndarray) -> np.ndarray:
    """Changes the spectrum of most clips, before noise is added: a dull microphone lets consonants vanish in the noise."""
    return augment.equalize(samples) if random.random() < 0.6 else samples


def _recorded(samples: np.ndarray, backgrounds: list[Recording], synthetic: bool) -> np.ndarray:
    """Adds a background and noise, which the microphone limits to the same band as the voice, and rarely noise that it does not."""
    if random.random() < 0.25:
        samples = augment.mix(samples, random.choice(backgrounds).samples, random.uniform(6, 30))
    if random.random() < 0.6:
        samples = augment.add_noise(samples, 8, 45)
    # recorded digits lack high frequencies; most synthetic voices lose theirs too, so that they are not recognised by them
    samples = augment.another_microphone(samples, narrow=0.7 if synthetic else 0.3)
    return augment.add_noise(samples) if random.random() < 0.15 else samples


def _tempo(spans: list[Span]) -> float:
    """Draws the factor by which words are stretched; for a single word, so that its duration tells nothing about it."""
    if len(spans) > 1:
        return random.uniform(*TEMPOS)
    seconds = (spans[0].end - spans[0].start) / SAMPLING_RATE
    wanted = float(np.exp(random.uniform(*np.log(DURATIONS))))
    return float(np.clip(wanted / seconds, *WIDEST_TEMPOS))


def _another_voice(samples: np.ndarray, tempo: float) -> np.ndarray:
    """Computes the log-mel of speech with a random change of vocal tract, pitch and tempo."""
    power = power_spectrum(samples)
    if random.random() < 0.8:
        power = augment.warp_voice(power, _tract_curve(power.shape[1]), _pitch_curve(power.shape[0]))
    mel = of_power(power)
    return augment.change_tempo(mel, tempo)


def _tract_curve(bins: int) -> np.ndarray:
    """Draws the factor of the resonances at each bin: speakers differ in length of the vocal tract and in accent."""
    hertz = np.linspace(0, SAMPLING_RATE / 2, bins)
    deviations = np.exp(np.random.normal(0, TRACT_DEVIATION, len(TRACT_KNOTS)))
    return random.uniform(*TRACTS) * np.interp(hertz, TRACT_KNOTS, deviations)


def _pitch_curve(frames: int) -> np.ndarray:
    """Draws the factor of the pitch in each frame; in half of the clips it rises or falls."""
    glide = random.uniform(-PITCH_GLIDE, PITCH_GLIDE) if random.random() < 0.5 else 0.0
    return random.uniform(*PITCHES) * np.exp(np.linspace(-glide / 2, glide / 2, frames))
