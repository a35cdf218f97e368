"""Training examples of the audio tower: augmented clips, scenes and strings of spoken digits, with their targets."""

from __future__ import annotations

import random

import numpy as np

from ..audio import SAMPLING_RATE, augment
from ..audio.augment import loud, trim_silence
from ..audio.log_mel import HOP, log_mel, of_power, power_spectrum
from ..data import rendering, units
from ..data.recordings import Recording, grouped
from ..sounds.voices import DIGITS
from ..world import scenes, small_world
from .audio_tower import FEATURES_PER_SECOND, feature_length

TRACTS = (0.84, 1.19)  # resonances of a voice, relative to the recorded ones
TRACT_KNOTS = (0, 600, 1300, 2400, 3800, 8000)  # hertz: between these the resonances also move by themselves,
TRACT_DEVIATION = 0.04  # by this standard deviation
PITCHES = (0.75, 1.35)
PITCH_GLIDE = 0.4  # the logarithm by which the pitch may rise or fall within a clip
TEMPOS = (0.7, 1.45)
RECORDED_SHARE = 0.65  # of the sounds; the others are made
SPEAKER_SHARE = 0.5  # of the digit strings; the others are of synthetic voices
ONSET_FRAMES = 2
SHORTEST_WORD = 0.1  # seconds
LONGEST_EDGE = 0.2  # seconds of silence before and after a string
SILENT_GAP = (0.08, 0.35)  # seconds between the digits of a string
SILENCE = 0  # among the digit targets


class Examples:
    """Draws augmented training clips and their targets."""

    def __init__(self, training: list[Recording], classes: list[str]):
        self.classes = classes
        self.recorded = grouped(training, ("sound",), lambda r: r.label)
        self.made = {label: rs for label, rs in grouped(training, ("made",), lambda r: r.label).items() if label in classes}
        self.speakers = grouped(training, ("digit",), lambda r: r.split)
        self.voices = grouped(training, ("other", "clear"), lambda r: r.label)
        self.units = units.extract(training, small_world.IS_EVENT)

    def sound(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws the log-mel of a clip and its target distribution over the classes; half of the clips are mixtures of two."""
        label, samples = self._sound()
        target = np.zeros(len(self.classes), np.float32)
        share = 1.0
        if random.random() < 0.5:
            other, second = self._sound()
            decibels = random.uniform(0, 15)
            samples = augment.mix(samples, second, decibels)
            share = 1 / (1 + 10 ** (-decibels / 20))
            target[self.classes.index(other)] += 1 - share
        target[self.classes.index(label)] += share
        return self._mel(samples), target

    def _sound(self) -> tuple[str, np.ndarray]:
        source = self.recorded if random.random() < RECORDED_SHARE else self.made
        label = random.choice(list(source))
        return label, self._varied(random.choice(source[label]))

    def scene(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws the log-mel of a scene, and targets [2, features, sounds]: the sounds that each feature contains, and those that begin there."""
        samples, spans = rendering.render(scenes.draw(), self.units, varied=True)
        speed = random.uniform(0.87, 1.15)
        mel = self._mel(augment.change_speed(samples, speed, speed), max_bins=12, max_frames=8)
        targets = np.zeros((2, feature_length(mel.shape[1]), len(self.classes) - 1), np.float32)
        for span in spans:
            start, end = (int(round(t / speed * FEATURES_PER_SECOND)) for t in (span.start, span.end))
            sound = self.classes.index(span.sound.label)
            targets[0, start : max(end, start + 1), sound] = 1.0
            targets[1, start : start + ONSET_FRAMES, sound] = 1.0
        return mel, targets

    def _varied(self, recording: Recording) -> np.ndarray:
        samples = recording.samples
        if random.random() < 0.7:
            samples = augment.change_speed(samples, 0.8, 1.25)
        if random.random() < 0.5:
            samples = augment.trim_silence(samples)
        return augment.crop(samples, int(random.choice((1.9, 1.9, 1.9, 3.9, 4.9)) * SAMPLING_RATE))

    def digits(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws the log-mel of one to four spoken digits, and the target of every feature."""
        words = self._words()
        said, spans = say_alone(words[0]) if len(words) == 1 and random.random() < 0.7 else say_in_row(words)
        said = self._another_recording(said, synthetic=words[0].kind != "digit")
        if random.random() < 0.5:
            said, spans = between_silences(said, spans)
        mel = another_voice(augment.change_speed(said, 0.8, 1.25) if random.random() < 0.8 else said)
        mel = augment.tilt_spectrum(mel, strength=0.25)
        mel = augment.mask_spectrum(mel, max_bins=10, max_frames=6)  # a word is short: longer masks would hide it
        stretch = mel.shape[1] / len(said) * HOP
        return mel, frame_targets(spans, stretch, feature_length(mel.shape[1]))

    def _another_recording(self, samples: np.ndarray, synthetic: bool) -> np.ndarray:
        """Adds a background and noise, both limited by the same microphone as the voice, and noise that is not."""
        if random.random() < 0.25:
            background = random.choice(random.choice(list(self.recorded.values()))).samples
            samples = augment.mix(samples, background, random.uniform(6, 30))
        if random.random() < 0.6:
            samples = augment.add_noise(samples, 8, 45)
        # recorded digits lack high frequencies; most synthetic voices lose theirs too, so that they are not recognised by them
        samples = augment.another_microphone(samples, narrow=0.7 if synthetic else 0.3)
        return augment.add_noise(samples) if random.random() < 0.15 else samples

    def _words(self) -> list[Recording]:
        """Draws one to four digits of one speaker, or each of another synthetic voice."""
        count = random.choice((1, 1, 1, 2, 3, 4))
        if self.speakers and random.random() < SPEAKER_SHARE:
            return random.choices(random.choice(list(self.speakers.values())), k=count)
        return [random.choice(self.voices[random.choice(DIGITS)]) for _ in range(count)]

    @staticmethod
    def _mel(samples: np.ndarray, **masks: int) -> np.ndarray:
        if random.random() < 0.4:
            samples = augment.another_microphone(samples, narrow=0.15)
        if random.random() < 0.5:
            samples = augment.add_noise(samples)
        return augment.mask_spectrum(augment.tilt_spectrum(log_mel(samples)), **masks)


def another_voice(samples: np.ndarray) -> np.ndarray:
    """Computes the log-mel of speech with a random change of vocal tract, pitch and tempo."""
    power = power_spectrum(samples)
    if random.random() < 0.8:
        power = augment.warp_voice(power, tract_curve(power.shape[1]), pitch_curve(power.shape[0]))
    mel = of_power(power)
    return augment.change_tempo(mel, random.uniform(*TEMPOS)) if random.random() < 0.6 else mel


def tract_curve(bins: int) -> np.ndarray:
    """Draws the factor of the resonances at each bin: speakers differ in length of the vocal tract and in accent."""
    hertz = np.linspace(0, SAMPLING_RATE / 2, bins)
    deviations = np.exp(np.random.normal(0, TRACT_DEVIATION, len(TRACT_KNOTS)))
    return random.uniform(*TRACTS) * np.interp(hertz, TRACT_KNOTS, deviations)


def pitch_curve(frames: int) -> np.ndarray:
    """Draws the factor of the pitch in each frame; in half of the clips it rises or falls."""
    glide = random.uniform(-PITCH_GLIDE, PITCH_GLIDE) if random.random() < 0.5 else 0.0
    return random.uniform(*PITCHES) * np.exp(np.linspace(-glide / 2, glide / 2, frames))


def say_alone(word: Recording) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Returns a digit, in part cut where it falls below a threshold, as recorders do: weak consonants are lost."""
    samples = equalized(word.samples)
    if random.random() < 0.6:
        cut = trim_silence(samples, random.uniform(0.02, 0.3), random.uniform(0, 0.03))
        samples = cut if len(cut) > SHORTEST_WORD * SAMPLING_RATE else samples
    return samples, [(0, len(samples), DIGITS.index(word.label) + 1)]


def say_in_row(words: list[Recording]) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Returns digits of one microphone, as `say`."""
    said, spans = say(words)
    return equalized(said), spans


def equalized(samples: np.ndarray) -> np.ndarray:
    """Changes the spectrum of most clips, before noise is added: a dull microphone lets consonants vanish in the noise."""
    return augment.equalize(samples) if random.random() < 0.6 else samples


def say(words: list[Recording]) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Concatenates digits with pauses; returns the samples, and (start, end, target) of each digit, in samples."""
    pause = lambda: np.zeros(int(random.uniform(*SILENT_GAP) * SAMPLING_RATE), np.float32)  # noqa: E731
    pieces = [pause()]
    spans = []
    end = len(pieces[0])
    for word in words:
        samples = loud(trim_silence(word.samples, 0.02, 0.02), random.uniform(0.5, 1.0))
        spans.append((end, end + len(samples), DIGITS.index(word.label) + 1))
        pieces += [samples, pause()]
        end += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces), spans


def between_silences(samples: np.ndarray, spans: list[tuple[float, float, int]]) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Adds digital silence before and after samples, whose noise then begins and ends with them."""
    before, after = (int(random.uniform(0, LONGEST_EDGE) * SAMPLING_RATE) for _ in range(2))
    return np.pad(samples, (before, after)), [(start + before, end + before, target) for start, end, target in spans]


def frame_targets(spans: list[tuple[float, float, int]], stretch: float, count: int) -> np.ndarray:
    """Returns the target of each of `count` features, for spans whose clip was stretched by the factor `stretch`."""
    centres = (np.arange(count) + 0.5) * SAMPLING_RATE / FEATURES_PER_SECOND
    targets = np.full(count, SILENCE, np.int64)
    for start, end, target in spans:
        targets[(centres >= start * stretch) & (centres < end * stretch)] = target
    return targets
