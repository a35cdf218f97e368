"""Measure of the variety of made sounds."""

from __future__ import annotations

import numpy as np

from ...audio import SAMPLING_RATE
from ...audio.mel import filter_bank
from ...data import units
from ...world import small_world
from ..requests import made, message
from ..subject import Subject
from ..table import Row

SEEDS = 10
SAME_DECIBELS = 1.5  # maximum mean difference of two sounds that count as one


def variety(subject: Subject) -> list[Row]:
    """Counts the different sounds of ten seeds for a plain prompt of every kind."""
    labels = list(small_world.CONCEPTS)
    requests = [
        {**message(("text", small_world.CONCEPTS[label].name)), "force": ["audio"], "max_segments": 1, "seed": seed}
        for label in labels
        for seed in range(SEEDS)
    ]
    sounds = [made(subject, "variety", result) for result in subject.batch("variety", requests)]
    by_kind = {label: different(sounds[i * SEEDS : (i + 1) * SEEDS]) for i, label in enumerate(labels)}
    fewest = sorted(by_kind, key=by_kind.get)[:8]
    note = "fewest: " + ", ".join(f"{label} {by_kind[label]}" for label in fewest)
    return [Row(f"different sounds of {SEEDS} seeds, mean over kinds", f"{np.mean(list(by_kind.values())):.1f}", note)]


def different(sounds: list[np.ndarray]) -> int:
    """Returns the number of sounds that differ from all sounds before them."""
    kept: list[np.ndarray] = []
    for sound in (bands(samples) for samples in sounds if len(samples) >= 2 * units.HOP):
        if not any(alike(sound, other) for other in kept):
            kept.append(sound)
    return len(kept)


def bands(samples: np.ndarray) -> np.ndarray:
    """Returns decibels of a sound in mel bands, [frames, bands], 50 frames a second, limited to a range below the peak."""
    n_fft = 1024
    hop = units.HOP
    padded = np.pad(samples, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop] * np.hanning(n_fft)
    power = np.abs(np.fft.rfft(frames, axis=-1)) ** 2 @ filter_bank(n_fft, 32, SAMPLING_RATE).T
    decibels = 10 * np.log10(power + 1e-12)
    return np.maximum(decibels, decibels.max() - 50)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether two sounds count as one: equal length within a twentieth, and a small mean difference in their bands."""
    short, long = sorted((len(one), len(other)))
    if long - short > max(2, long // 20):
        return False
    return float(np.abs(one[:short] - other[:short]).mean()) < SAME_DECIBELS
