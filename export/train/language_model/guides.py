"""Dense targets beside the tokens, for training only: where in a scene a frame stands.

Which sound comes next, and whether one does, is said by few of a scene's tokens, and for most of the training the model
guesses them. Three heads that are thrown away afterwards ask for it at every frame: which sound is heard *now* and for
the how manieth time, which one was *before* it, and which one comes *next*. What is only heard has no next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ..world.small_world import CONCEPTS

IGNORE = -100
LABELS = {label: i + 1 for i, label in enumerate(CONCEPTS)}  # 0: no sound
MOST_REPEATED = 3
SIZES = 3 * (len(LABELS) + 1, MOST_REPEATED + 1)  # sound and repetition of now, before, next
NOW, BEFORE, NEXT = 0, 2, 4  # first columns
NOTHING = (0, 0)


class Placed(NamedTuple):
    """Where a unit lies, in frames or in seconds."""

    label: str
    start: float
    end: float


def none(count: int) -> np.ndarray:
    """Targets [count, 6] that ask for nothing."""
    return np.full((count, len(SIZES)), IGNORE, np.int64)


def of_units(units: list[Placed], count: int, rate: float = 1.0, written: bool = True) -> np.ndarray:
    """Targets [count, 6] after each of `count` frames; a frame is 1 / `rate` of what `units` are measured in."""
    targets = np.zeros((count, len(SIZES)), np.int64)
    before, last_start = NOTHING, 0
    for unit, named in zip(units, _numbered(units)):
        start, end = round(unit.start * rate), round(unit.end * rate)
        targets[last_start:start, NEXT:] = named
        targets[start:end, NOW:BEFORE] = named
        targets[start:end, BEFORE:NEXT] = before
        targets[end:, BEFORE:NEXT] = named
        before, last_start = named, start
    if not written:
        targets[:, NEXT:] = IGNORE
    return targets


def _numbered(units: list[Placed]) -> list[tuple[int, int]]:
    """Sound and repetition of each unit."""
    numbered, last, times = [], None, 0
    for unit in units:
        times = times + 1 if unit.label == last else 1
        last = unit.label
        numbered.append((LABELS[unit.label], min(times, MOST_REPEATED)))
    return numbered


class Guides(nn.Module):
    """The heads."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.heads = nn.Linear(hidden_size, sum(SIZES))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean over frames of the summed cross-entropies; hidden states [n, size], targets [n, 6], some frame asked of."""
        logits = self.heads(hidden).split(SIZES, dim=-1)
        summed = sum(F.cross_entropy(row, targets[:, i], ignore_index=IGNORE, reduction="sum") for i, row in enumerate(logits))
        return summed / len(hidden)
