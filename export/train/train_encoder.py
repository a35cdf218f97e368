"""Stage `encoder`: teaches the audio tower to tell sounds apart (clip labels) and to hear digits (CTC)."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import augment
from audio_tower import AudioTower, AudioTowerConfig
from log_mel import log_mel
from recordings import DIGITS, SAMPLING_RATE, Recording
from storage import Run

BATCH = 24
PEAK_RATE = 1e-3
SPEECH = "speech"
REPORT_EVERY = 50
SILENT_GAP = (0.05, 0.35)  # seconds between the digits of a string


class EncoderTrainer(nn.Module):
    """The tower under two heads that only pre-training needs."""

    def __init__(self, sounds: list[str]):
        super().__init__()
        self.tower = AudioTower(AudioTowerConfig())
        size = self.tower.config.output_dim
        self.classes = [*sounds, SPEECH]
        self.attention = nn.Linear(size, 1)
        self.classifier = nn.Linear(size, len(self.classes))
        self.digits = nn.Linear(size, len(DIGITS) + 1)  # 0 is CTC's blank

    def clip_logits(self, features: list[Tensor]) -> Tensor:
        """One row a clip: the class evidence of its features, weighted by learned attention."""
        weights = [torch.softmax(self.attention(f), dim=0) for f in features]
        return torch.stack([(w * self.classifier(f)).sum(0) for w, f in zip(weights, features)])

    def digit_loss(self, features: list[Tensor], targets: list[list[int]]) -> Tensor:
        padded = nn.utils.rnn.pad_sequence([self.digits(f) for f in features])
        return F.ctc_loss(
            padded.log_softmax(-1),
            torch.tensor(sum(targets, [])),
            torch.tensor([len(f) for f in features]),
            torch.tensor([len(t) for t in targets]),
            zero_infinity=True,
        )

    def read_digits(self, features: Tensor) -> list[int]:
        """Greedy CTC."""
        path = self.digits(features).argmax(-1).tolist()
        return [p - 1 for p, before in zip(path, [0, *path]) if p not in (0, before)]


def say(words: list[Recording]) -> np.ndarray:
    """Digits of one speaker one after the other, with pauses."""
    pause = lambda: np.zeros(int(random.uniform(*SILENT_GAP) * SAMPLING_RATE), np.float32)  # noqa: E731
    pieces = [pause()]
    for word in words:
        pieces += [word.samples / (np.abs(word.samples).max() + 1e-6) * random.uniform(0.5, 1.0), pause()]
    return np.concatenate(pieces)


class Examples:
    """Draws augmented training clips."""

    def __init__(self, training: list[Recording], classes: list[str]):
        self.classes = classes
        self.sounds: dict[str, list[Recording]] = {}
        self.speakers: dict[str, list[Recording]] = {}
        for r in training:
            (self.sounds if r.kind == "sound" else self.speakers).setdefault(r.label if r.kind == "sound" else r.split, []).append(r)

    def sound(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-mel of a clip and its target distribution over the classes; half are two clips mixed."""
        label = random.choice(list(self.sounds))
        samples = self._varied(random.choice(self.sounds[label]))
        target = np.zeros(len(self.classes), np.float32)
        share = 1.0
        if random.random() < 0.5:
            other = random.choice(list(self.sounds))
            decibels = random.uniform(0, 15)
            samples = augment.mix(samples, self._varied(random.choice(self.sounds[other])), decibels)
            share = 1 / (1 + 10 ** (-decibels / 20))
            target[self.classes.index(other)] += 1 - share
        target[self.classes.index(label)] += share
        return self._mel(samples), target

    def _varied(self, recording: Recording) -> np.ndarray:
        samples = recording.samples
        if random.random() < 0.7:
            samples = augment.change_speed(samples, 0.8, 1.25)
        if random.random() < 0.5:
            samples = augment.trim_silence(samples)
        return augment.crop(samples, int(random.choice((1.5, 2.0, 2.0, 3.0, 5.0)) * SAMPLING_RATE))

    def digits(self) -> tuple[np.ndarray, list[int]]:
        """Log-mel of one to four spoken digits and their CTC targets."""
        words = random.choices(random.choice(list(self.speakers.values())), k=random.choice((1, 1, 2, 3, 4)))
        samples = say(words)
        if random.random() < 0.8:
            samples = augment.change_speed(samples, 0.8, 1.25)
        if random.random() < 0.3:
            background = random.choice(random.choice(list(self.sounds.values()))).samples
            samples = augment.mix(samples, background, random.uniform(10, 30))
        return self._mel(samples), [DIGITS.index(w.label) + 1 for w in words]

    def _mel(self, samples: np.ndarray) -> np.ndarray:
        if random.random() < 0.5:
            samples = augment.add_noise(samples)
        return augment.mask_spectrum(augment.tilt_spectrum(log_mel(samples)))


def validate(model: EncoderTrainer, validation: list[Recording]) -> dict[str, float]:
    """Share of whole unseen clips named rightly, and of unseen single digits read rightly."""
    model.eval()
    right: dict[str, list[bool]] = {"sound": [], "digit": []}
    with torch.no_grad():
        for r in validation:
            samples = r.samples if r.kind == "sound" else np.pad(r.samples, SAMPLING_RATE // 8)
            features = model.tower.encode([log_mel(samples)])
            if r.kind == "sound":
                named = model.clip_logits(features)[0, : len(model.classes) - 1].argmax()
                right["sound"].append(model.classes[int(named)] == r.label)
            else:
                right["digit"].append(model.read_digits(features[0]) == [DIGITS.index(r.label)])
    model.train()
    return {kind: float(np.mean(hits)) for kind, hits in right.items() if hits}


def train(training: list[Recording], validation: list[Recording], path: Path, minutes: float) -> None:
    sounds = sorted({r.label for r in training if r.kind == "sound"})
    model = EncoderTrainer(sounds)
    examples = Examples(training, model.classes)
    # A few digits of the held-out speaker are enough to watch.
    watched = [r for r in validation if r.kind == "sound"] + [r for r in validation if r.kind == "digit"][::5]
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    run = Run(path, minutes, model, optimizer, PEAK_RATE)
    average = None
    model.train()
    for step in run.steps():
        clips = [examples.sound() for _ in range(BATCH * 2 // 3)]
        strings = [examples.digits() for _ in range(BATCH - len(clips))]
        features = model.tower.encode([mel for mel, _ in clips] + [mel for mel, _ in strings])
        logits = model.clip_logits(features)
        speech = np.zeros((len(strings), len(model.classes)), np.float32)
        speech[:, -1] = 1.0
        targets = torch.from_numpy(np.concatenate([np.stack([t for _, t in clips]), speech]))
        naming = F.cross_entropy(logits, targets, label_smoothing=0.05)
        reading = model.digit_loss(features[len(clips) :], [t for _, t in strings])
        loss = naming + 0.5 * reading
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses = np.array([naming.item(), reading.item()])
        average = losses if average is None else 0.97 * average + 0.03 * losses
        if (step + 1) % REPORT_EVERY == 0:
            print(f"encoder {step + 1} {run.elapsed:.0f}s naming {average[0]:.3f} digits {average[1]:.3f}", flush=True)
        if watched and (step + 1) % (6 * REPORT_EVERY) == 0:
            print(f"encoder {step + 1} unseen: {validate(model, watched)}", flush=True)
    if validation:
        print(f"encoder, all that was held out: {validate(model, validation)}", flush=True)
