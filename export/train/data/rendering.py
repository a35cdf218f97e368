"""A scene as sound: its units one after the other, whole codec frames apart."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from ..audio.augment import level
from ..world.scenes import Scene, Sound, Span
from .units import HOP, Unit, whole

TRAIL = 4
BACKGROUND_DECIBELS = (8, 14)  # by which a background is quieter


@dataclass(frozen=True)
class Gaps:
    """Frames of silence, at least and at most."""

    lead: tuple[int, int]  # before the first sound
    repeat: tuple[int, int]  # between repetitions of an event
    between: tuple[int, int]  # between different sounds


HEARD = Gaps((2, 8), (7, 13), (8, 16))
WRITTEN = Gaps((3, 3), (10, 10), (10, 10))  # always the same: less chance to learn, and what follows is decided in one frame


def layout(scene: Scene, units: dict[str, list[Unit]], gaps: Gaps = HEARD) -> tuple[list[tuple[Unit, int]], list[Span], int]:
    """Which unit starts at which frame, where each sound lies, and the number of frames."""
    placed, spans = [], []
    at = random.randint(*gaps.lead)
    for sound in scene.sounds:
        unit, start = random.choice(units[sound.label]), at
        for i in range(sound.count):
            at += random.randint(*gaps.repeat) if i else 0
            placed.append((unit, at))
            at += unit.frames
        spans.append(Span(sound, start * HOP / SAMPLING_RATE, at * HOP / SAMPLING_RATE))
        at += random.randint(*gaps.between)
    return placed, spans, placed[-1][1] + placed[-1][0].frames + TRAIL


def render(scene: Scene, units: dict[str, list[Unit]], varied: bool = False) -> tuple[np.ndarray, list[Span]]:
    """Samples of a scene and where each of its units lies; `varied` gives every sound a loudness of its own."""
    placed, _, frames = layout(scene, units)
    samples, gains, spans = np.zeros(frames * HOP, np.float32), {}, []
    for unit, at in placed:
        gain = gains.setdefault(unit.label, random.uniform(0.35, 1.2) if varied else 1.0)
        samples[at * HOP : (at + unit.frames) * HOP] += gain * unit.samples
        spans.append(Span(Sound(unit.label), at * HOP / SAMPLING_RATE, (at + unit.frames) * HOP / SAMPLING_RATE))
    if scene.background:
        samples = over(samples, random.choice(units[scene.background]).samples)
        spans.append(Span(Sound(scene.background), 0.0, len(samples) / SAMPLING_RATE))
    return samples, spans


def over(samples: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`samples` over a continuing sound, which is repeated to last as long."""
    loud = level(samples[np.abs(samples) > 1e-3]) if np.abs(samples).max() > 1e-3 else 1.0
    gain = loud / level(background) * 10 ** (-random.uniform(*BACKGROUND_DECIBELS) / 20)
    return whole(samples + gain * np.resize(background, len(samples)))

