"""Stages `hearing`, `speech` and `encoder`: train the audio tower to classify sounds (clip labels), to locate them in scenes, and to read
digits (frame labels).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import mixed_precision
from ..audio import SAMPLING_RATE
from ..audio.log_mel import log_mel
from ..data.recordings import Recording
from ..parallel import Group
from ..sounds.voices import DIGITS
from ..storage import Run
from ..world import small_world
from .audio_tower import AudioTower, AudioTowerConfig
from .examples import SILENCE, Examples

EVENT_WEIGHT = 4.0  # of a frame that contains a sound, relative to one that does not
ONSET_WEIGHT = 12.0  # of a frame in which a sound begins: counting depends on the beginnings
SPEECH_LABEL = "speech"
REPORT_SECONDS = 60.0
WATCH_EVERY = 500  # steps


@dataclass(frozen=True)
class Course:
    """The clips of a batch, and the peak rate of learning."""

    sounds: int
    scenes: int
    strings: int  # of spoken digits
    peak_rate: float


HEARING = Course(11, 6, 10, 1e-3)  # from random weights
SPEECH = Course(0, 0, 24, 8e-4)
SPEAKERS = Course(0, 0, 24, 5e-4)
ENCODER = Course(11, 6, 10, 5e-4)


class EncoderTrainer(nn.Module):
    """The tower with the heads that only this stage needs."""

    def __init__(self, sounds: list[str]):
        super().__init__()
        self.tower = AudioTower(AudioTowerConfig())
        size = self.tower.config.output_dim
        self.classes = [*sounds, SPEECH_LABEL]
        self.attention = nn.Linear(size, 1)
        self.classifier = nn.Linear(size, len(self.classes))
        self.events = nn.Linear(size, len(sounds))
        self.onsets = nn.Linear(size, len(sounds))
        self.digits = nn.Linear(size, len(DIGITS) + 1)

    def clip_logits(self, features: list[Tensor]) -> Tensor:
        """Returns the class logits of each clip: those of its features, weighted by learned attention."""
        weights = [torch.softmax(self.attention(f), dim=0) for f in features]
        return torch.stack([(w * self.classifier(f)).sum(0) for w, f in zip(weights, features)])

    def event_loss(self, features: list[Tensor], targets: list[np.ndarray]) -> Tensor:
        """The loss of the sounds that each feature of a scene contains, and of those that begin there."""
        found = torch.cat(features)
        (held, begun) = torch.from_numpy(np.concatenate(targets, axis=1))
        return 10 * (weighted(self.events(found), held, EVENT_WEIGHT) + weighted(self.onsets(found), begun, ONSET_WEIGHT))

    def digit_loss(self, features: list[Tensor], targets: list[np.ndarray]) -> Tensor:
        joined = torch.from_numpy(np.concatenate(targets))
        return F.cross_entropy(self.digits(torch.cat(features)), joined, label_smoothing=0.05)

    def read_digits(self, features: Tensor) -> list[int]:
        """Returns the digits in order: one for each run of two or more features that are not silence."""
        evidence = self.digits(features)
        read = []
        run = []
        for row in [*evidence, None]:
            if row is not None and row.argmax() != SILENCE:
                run.append(row)
            elif run:
                if len(run) > 1:
                    read.append(int(torch.stack(run).sum(0)[1:].argmax()))
                run = []
        return read


def weighted(logits: Tensor, targets: Tensor, weight: float) -> Tensor:
    """Binary cross-entropy in which the few positive targets count `weight` times."""
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.full((logits.shape[1],), weight))


def validate(model: EncoderTrainer, validation: list[Recording]) -> dict[str, float]:
    """Returns the shares of unseen clips named correctly and of unseen single digits read correctly, by kind."""
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
    training: list[Recording], validation: list[Recording], path: Path, minutes: float, course: Course, start: Path | None = None
) -> EncoderTrainer:
    """Trains until the budget of minutes is used up, from the weights in `start` if that file exists."""
    model = EncoderTrainer(list(small_world.CONCEPTS))
    examples = Examples(training, model.classes)
    # A few digits of the held-out speaker suffice for monitoring.
    watched = [r for r in validation if r.kind != "digit"] + [r for r in validation if r.kind == "digit"][::5]
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    run = Run(path, minutes, model, optimizer, course.peak_rate, start)
    average = None
    reported = 0.0
    model.train()
    for step in run.steps():
        losses = np.array([loss.item() for loss in _step(model, examples, optimizer, course, run.group)])
        average = losses if average is None else 0.97 * average + 0.03 * losses
        if run.group.rank == 0 and run.elapsed - reported > REPORT_SECONDS:
            reported = run.elapsed
            naming, placing, reading = average
            print(f"encoder {step + 1} {run.elapsed:.0f}s naming {naming:.3f} scenes {placing:.3f} digits {reading:.3f}", flush=True)
        if run.group.rank == 0 and watched and (step + 1) % WATCH_EVERY == 0:
            print(f"encoder {step + 1} unseen: {validate(model, watched)}", flush=True)
    return model.eval()


def _step(model: EncoderTrainer, examples: Examples, optimizer: torch.optim.Optimizer, course: Course, group: Group) -> list[Tensor]:
    """Makes one update; returns the losses of naming clips, of locating sounds in scenes, and of reading digits."""
    clips = [examples.sound() for _ in range(course.sounds)]
    staged = [examples.scene() for _ in range(course.scenes)]
    strings = [examples.digits() for _ in range(course.strings)]
    with mixed_precision.networks(), sdpa_kernel(SDPBackend.MATH):  # PyTorch's other kernel is slow at windows this short
        encoded = model.tower.encode([mel for mel, _ in clips + staged + strings])
    features = [f.float() for f in encoded]
    named = features[: len(clips)]
    placed = features[len(clips) : len(clips) + len(staged)]
    read = features[len(clips) + len(staged) :]
    speech = np.zeros((len(model.classes),), np.float32)
    speech[-1] = 1.0
    targets = torch.from_numpy(np.stack([t for _, t in clips] + [speech] * len(strings)))
    naming = F.cross_entropy(model.clip_logits(named + read), targets, label_smoothing=0.05)
    placing = model.event_loss(placed, [t for _, t in staged]) if staged else torch.zeros(())
    losses = [naming, placing, model.digit_loss(read, [t for _, t in strings])]
    optimizer.zero_grad()
    sum(losses).backward()
    group.average_gradients(model)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return losses
