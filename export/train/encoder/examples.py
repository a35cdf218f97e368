"""Training examples of the audio tower: augmented clips, scenes and strings of spoken digits, with their targets."""

from __future__ import annotations

import random

import numpy as np

from ..audio import SAMPLING_RATE, augment
from ..audio.log_mel import log_mel
from ..data import rendering, units
from ..data.recordings import Recording, grouped
from ..sounds.voices import DIGITS
from ..world import scenes, small_world
from . import speech
from .audio_tower import FEATURES_PER_SECOND, feature_length
from .speech import Span

RECORDED_SHARE = 0.65  # of the sounds; the others are made
SPEAKER_SHARE = 0.5  # of the digit strings; the others are of synthetic voices
ONSET_FRAMES = 2
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
        backgrounds = random.choice(list(self.recorded.values()))
        mel, spans = speech.vary(speech.say(words), backgrounds, synthetic=words[0].kind != "digit")
        mel = augment.mask_spectrum(mel, max_bins=10, max_frames=6)  # a word is short: longer masks would hide it
        return mel, frame_targets(spans, feature_length(mel.shape[1]))

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


def frame_targets(spans: list[Span], count: int) -> np.ndarray:
    """Returns the digit that each of `count` features hears, or silence."""
    centres = (np.arange(count) + 0.5) * SAMPLING_RATE / FEATURES_PER_SECOND
    targets = np.full(count, SILENCE, np.int64)
    for span in spans:
        targets[(centres >= span.start) & (centres < span.end)] = DIGITS.index(span.word) + 1
    return targets
