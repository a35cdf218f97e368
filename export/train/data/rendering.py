"""Renders a scene: its units one after the other, separated by whole codec frames."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from ..audio.augment import level
from ..world.scenes import Scene, Sound, Span
from .units import HOP, Unit, whole

TRAIL = 4
BACKGROUND_DECIBELS = (8, 14)  # of the background below the sound


@dataclass(frozen=True)
class Gaps:
    """Ranges of pauses, in frames."""

    lead: tuple[int, int]  # before the first sound
    repeat: tuple[int, int]  # between repetitions of an event
    between: tuple[int, int]  # between different sounds


HEARD = Gaps((2, 8), (7, 13), (8, 16))
WRITTEN = Gaps((3, 3), (10, 10), (10, 10))  # constant: less for the model to learn, and the next sound is decided in one frame


def layout(scene: Scene, units: dict[str, list[Unit]], gaps: Gaps = HEARD) -> tuple[list[tuple[Unit, int]], list[Span], int]:
    """Lays a scene out: (unit, first frame) for every unit, the span of every sound, and the number of frames."""
    placed = []
    spans = []
    at = random.randint(*gaps.lead)
    for sound in scene.sounds:
        unit = random.choice(units[sound.label])
        start = at
        for i in range(sound.count):
            at += random.randint(*gaps.repeat) if i else 0
            placed.append((unit, at))
            at += unit.frames
        spans.append(Span(sound, start * HOP / SAMPLING_RATE, at * HOP / SAMPLING_RATE))
        at += random.randint(*gaps.between)
    return placed, spans, placed[-1][1] + placed[-1][0].frames + TRAIL


def render(scene: Scene, units: dict[str, list[Unit]], varied: bool = False) -> tuple[np.ndarray, list[Span]]:
    """Renders the samples of a scene and the span of each unit; with `varied` every sound has its own random loudness."""
    placed, _, frames = layout(scene, units)
    samples = np.zeros(frames * HOP, np.float32)
    gains = {}
    spans = []
    for unit, at in placed:
        gain = gains.setdefault(unit.label, random.uniform(0.35, 1.2) if varied else 1.0)
        samples[at * HOP : (at + unit.frames) * HOP] += gain * unit.samples
        spans.append(Span(Sound(unit.label), at * HOP / SAMPLING_RATE, (at + unit.frames) * HOP / SAMPLING_RATE))
    if scene.background:
        samples = over(samples, random.choice(units[scene.background]).samples)
        spans.append(Span(Sound(scene.background), 0.0, len(samples) / SAMPLING_RATE))
    return samples, spans


def over(samples: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Mixes `samples` with a continuing sound, which is repeated to their length."""
    loud = level(samples[np.abs(samples) > 1e-3]) if np.abs(samples).max() > 1e-3 else 1.0
    gain = loud / level(background) * 10 ** (-random.uniform(*BACKGROUND_DECIBELS) / 20)
    return whole(samples + gain * np.resize(background, len(samples)))

