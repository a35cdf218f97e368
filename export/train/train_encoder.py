"""Stage `encoder`: teaches the audio tower to tell sounds apart (clip labels), to hear which sound is where in a scene, and
to hear digits (frame labels)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import augment
import mixed_precision
import rendering
import scenes
import small_world
import units
from audio_tower import AudioTower, AudioTowerConfig, feature_length
from augment import loud, trim_silence
from log_mel import HOP, log_mel, of_power, power_spectrum
from recordings import DIGITS, SAMPLING_RATE, Recording
from storage import Run

TRACTS = (0.84, 1.19)  # resonances of a voice, against those that were recorded
PITCHES = (0.75, 1.35)
TEMPOS = (0.7, 1.45)
RECORDED_SHARE = 0.65  # of the sounds; the others are made
EVENT_WEIGHT = 4.0  # of a frame that holds a sound, against one that does not
ONSET_WEIGHT = 12.0  # of a frame in which one begins: where they begin is what counting needs
ONSET_FRAMES = 2
PEAK_RATE = 1e-3
SPEECH = "speech"
REPORT_SECONDS = 60.0
WATCH_EVERY = 500  # steps
SILENT_GAP = (0.08, 0.35)  # seconds between the digits of a string
FEATURES_PER_SECOND = 25
SILENCE = 0  # among the digit targets


@dataclass(frozen=True)
class Mix:
    """Clips in a batch."""

    sounds: int = 11
    scenes: int = 6
    strings: int = 10  # of spoken digits


DIGITS_ONLY = Mix(sounds=0, scenes=0, strings=24)


class EncoderTrainer(nn.Module):
    """The tower under two heads that only pre-training needs."""

    def __init__(self, sounds: list[str]):
        super().__init__()
        self.tower = AudioTower(AudioTowerConfig())
        size = self.tower.config.output_dim
        self.classes = [*sounds, SPEECH]
        self.attention = nn.Linear(size, 1)
        self.classifier = nn.Linear(size, len(self.classes))
        self.events = nn.Linear(size, len(sounds))
        self.onsets = nn.Linear(size, len(sounds))
        self.digits = nn.Linear(size, len(DIGITS) + 1)

    def clip_logits(self, features: list[Tensor]) -> Tensor:
        """One row a clip: the class evidence of its features, weighted by learned attention."""
        weights = [torch.softmax(self.attention(f), dim=0) for f in features]
        return torch.stack([(w * self.classifier(f)).sum(0) for w, f in zip(weights, features)])

    def event_loss(self, features: list[Tensor], targets: list[np.ndarray]) -> Tensor:
        """Which sounds every feature of a scene holds, and which begin there."""
        found, (held, begun) = torch.cat(features), torch.from_numpy(np.concatenate(targets, axis=1))
        return 10 * (weighted(self.events(found), held, EVENT_WEIGHT) + weighted(self.onsets(found), begun, ONSET_WEIGHT))

    def digit_loss(self, features: list[Tensor], targets: list[np.ndarray]) -> Tensor:
        joined = torch.from_numpy(np.concatenate(targets))
        return F.cross_entropy(self.digits(torch.cat(features)), joined, label_smoothing=0.05)

    def read_digits(self, features: Tensor) -> list[int]:
        """The digits heard, in order: one a run of two or more features that are not silence."""
        evidence, read, run = self.digits(features), [], []
        for row in [*evidence, None]:
            if row is not None and row.argmax() != SILENCE:
                run.append(row)
            elif run:
                if len(run) > 1:
                    read.append(int(torch.stack(run).sum(0)[1:].argmax()))
                run = []
        return read


def weighted(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """Binary cross-entropy in which the few targets that are set count `weight` times."""
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.full((logits.shape[1],), weight))


def say(words: list[Recording]) -> tuple[np.ndarray, list[tuple[float, float, int]]]:
    """Digits of one speaker one after the other, with pauses; and where each lies: (start, end, target) in samples."""
    pause = lambda: np.zeros(int(random.uniform(*SILENT_GAP) * SAMPLING_RATE), np.float32)  # noqa: E731
    pieces, spans = [pause()], []
    end = len(pieces[0])
    for word in words:
        samples = loud(trim_silence(word.samples, 0.02, 0.02), random.uniform(0.5, 1.0))
        spans.append((end, end + len(samples), DIGITS.index(word.label) + 1))
        pieces += [samples, pause()]
        end += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces), spans


def frame_targets(spans: list[tuple[float, float, int]], stretch: float, count: int) -> np.ndarray:
    """Target of each of `count` features, for spans whose clip was stretched afterwards."""
    centres = (np.arange(count) + 0.5) * SAMPLING_RATE / FEATURES_PER_SECOND
    targets = np.full(count, SILENCE, np.int64)
    for start, end, target in spans:
        targets[(centres >= start * stretch) & (centres < end * stretch)] = target
    return targets


class Examples:
    """Draws augmented training clips."""

    def __init__(self, training: list[Recording], classes: list[str]):
        self.classes = classes
        self.recorded = by(training, ("sound",), lambda r: r.label)
        self.made = {label: rs for label, rs in by(training, ("made",), lambda r: r.label).items() if label in classes}
        self.speakers = by(training, ("digit",), lambda r: r.split)
        self.voices = by(training, ("other", "clear"), lambda r: r.label)
        self.units = units.extract(training, {label: concept.event for label, concept in small_world.CONCEPTS.items()})

    def sound(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-mel of a clip and its target distribution over the classes; half are two clips mixed."""
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
        """Log-mel of a scene, and [2, features, sounds]: which sounds every feature holds, and which begin there."""
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
        """Log-mel of one to four spoken digits, and the target of every feature."""
        words = self._words()
        if len(words) == 1 and random.random() < 0.7:
            said = words[0].samples  # as it was recorded, cut close
            spans = [(0, len(said), DIGITS.index(words[0].label) + 1)]
        else:
            said, spans = say(words)
        samples = augment.change_speed(said, 0.8, 1.25) if random.random() < 0.8 else said
        if random.random() < 0.3:
            background = random.choice(random.choice(list(self.recorded.values()))).samples
            samples = augment.mix(samples, background, random.uniform(6, 30))
        # recordings of digits have no top at all; so that a synthetic voice is not known by its top, it often loses it too
        samples = augment.another_microphone(samples, narrow=0.3 if words[0].kind == "digit" else 0.6)
        mel = another_voice(augment.add_noise(samples) if random.random() < 0.5 else samples)
        mel = augment.mask_spectrum(augment.tilt_spectrum(mel), max_bins=10, max_frames=6)  # a word is short: longer masks would hide it
        stretch = mel.shape[1] / len(said) * HOP
        return mel, frame_targets(spans, stretch, feature_length(mel.shape[1]))

    def _words(self) -> list[Recording]:
        """One to four digits of one speaker, or each of another synthetic voice."""
        count = random.choice((1, 1, 1, 2, 3, 4))
        if self.speakers and random.random() < 0.65:
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
    """Log-mel of speech as somebody else might have said it: with another throat, at another pitch, faster or slower."""
    power = power_spectrum(samples)
    if random.random() < 0.8:
        power = augment.warp_voice(power, random.uniform(*TRACTS), random.uniform(*PITCHES))
    mel = of_power(power)
    return augment.change_tempo(mel, random.uniform(*TEMPOS)) if random.random() < 0.6 else mel


def by(recordings: list[Recording], kinds: tuple[str, ...], key) -> dict[str, list[Recording]]:
    """Recordings of some kinds, grouped by a key."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.kind in kinds:
            groups.setdefault(key(recording), []).append(recording)
    return groups


def validate(model: EncoderTrainer, validation: list[Recording]) -> dict[str, float]:
    """Share of whole unseen clips named rightly, and of unseen single digits read rightly."""
    model.eval()
    right: dict[str, list[bool]] = {}
    with torch.no_grad():
        for r in validation:
            samples = np.pad(r.samples, SAMPLING_RATE // 8) if r.kind == "digit" else r.samples
            features = model.tower.encode([log_mel(samples)])
            if r.kind == "digit":
                right.setdefault("digit", []).append(model.read_digits(features[0]) == [DIGITS.index(r.label)])
            elif r.label in model.classes:
                named = model.clip_logits(features)[0, : len(model.classes) - 1].argmax()
                right.setdefault(r.kind, []).append(model.classes[int(named)] == r.label)
    model.train()
    return {kind: float(np.mean(hits)) for kind, hits in right.items() if hits}


def train(
    training: list[Recording], validation: list[Recording], path: Path, minutes: float, start: Path | None = None, mix: Mix = Mix()
) -> EncoderTrainer:
    """Trains until the budget of minutes is used up; begins with the weights in `start`, if there are such."""
    model = EncoderTrainer(list(small_world.CONCEPTS))
    examples = Examples(training, model.classes)
    # A few digits of the held-out speaker are enough to watch.
    watched = [r for r in validation if r.kind != "digit"] + [r for r in validation if r.kind == "digit"][::5]
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    run = Run(path, minutes, model, optimizer, PEAK_RATE, start)
    average, reported = None, 0.0
    model.train()
    for step in run.steps():
        losses = np.array([loss.item() for loss in _step(model, examples, optimizer, mix)])
        average = losses if average is None else 0.97 * average + 0.03 * losses
        if run.elapsed - reported > REPORT_SECONDS:
            reported = run.elapsed
            naming, placing, reading = average
            print(f"encoder {step + 1} {run.elapsed:.0f}s naming {naming:.3f} scenes {placing:.3f} digits {reading:.3f}", flush=True)
        if watched and (step + 1) % WATCH_EVERY == 0:
            print(f"encoder {step + 1} unseen: {validate(model, watched)}", flush=True)
    return model.eval()


def _step(model: EncoderTrainer, examples: Examples, optimizer: torch.optim.Optimizer, mix: Mix) -> list[Tensor]:
    """One update; the losses of naming clips, of placing sounds in scenes, and of reading digits."""
    clips = [examples.sound() for _ in range(mix.sounds)]
    staged = [examples.scene() for _ in range(mix.scenes)]
    strings = [examples.digits() for _ in range(mix.strings)]
    with mixed_precision.networks(), sdpa_kernel(SDPBackend.MATH):  # PyTorch's other kernel is slow at windows this short
        encoded = model.tower.encode([mel for mel, _ in clips + staged + strings])
    features = [f.float() for f in encoded]
    named, placed, read = features[: len(clips)], features[len(clips) : len(clips) + len(staged)], features[len(clips) + len(staged) :]
    speech = np.zeros((len(model.classes),), np.float32)
    speech[-1] = 1.0
    targets = torch.from_numpy(np.stack([t for _, t in clips] + [speech] * len(strings)))
    naming = F.cross_entropy(model.clip_logits(named + read), targets, label_smoothing=0.05)
    placing = model.event_loss(placed, [t for _, t in staged]) if staged else torch.zeros(())
    losses = [naming, placing, model.digit_loss(read, [t for _, t in strings])]
    optimizer.zero_grad()
    sum(losses).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return losses
