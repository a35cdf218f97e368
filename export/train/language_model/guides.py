"""Auxiliary targets for training: the position of a frame within its scene.

Few tokens of a scene tell which sound comes next, and whether one does; for most of the training the model guesses them.
Three heads, discarded after training, predict at every frame the sound that is heard *now* and its repetition, the one
*before* it, and the *next* one. Sound that is only heard has no next.
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
# The first column of each pair.
NOW = 0
BEFORE = 2
NEXT = 4
NOTHING = (0, 0)


class Placed(NamedTuple):
    """The position of a unit, in frames or in seconds."""

    label: str
    start: float
    end: float


def none(count: int) -> np.ndarray:
    """Returns targets [count, 6] that are all ignored."""
    return np.full((count, len(SIZES)), IGNORE, np.int64)


def of_units(units: list[Placed], count: int, rate: float = 1.0, written: bool = True) -> np.ndarray:
    """Returns targets [count, 6] after each of `count` frames; `rate` frames are one unit of the times in `units`."""
    targets = np.zeros((count, len(SIZES)), np.int64)
    before = NOTHING
    last_start = 0
    for unit, named in zip(units, _numbered(units)):
        start = round(unit.start * rate)
        end = round(unit.end * rate)
        targets[last_start:start, NEXT:] = named
        targets[start:end, NOW:BEFORE] = named
        targets[start:end, BEFORE:NEXT] = before
        targets[end:, BEFORE:NEXT] = named
        before = named
        last_start = start
    if not written:
        targets[:, NEXT:] = IGNORE
    return targets


def _numbered(units: list[Placed]) -> list[tuple[int, int]]:
    """Returns the sound and the repetition of each unit."""
    numbered = []
    last = None
    times = 0
    for unit in units:
        times = times + 1 if unit.label == last else 1
        last = unit.label
        numbered.append((LABELS[unit.label], min(times, MOST_REPEATED)))
    return numbered


class Guides(nn.Module):
    """The auxiliary heads."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.heads = nn.Linear(hidden_size, sum(SIZES))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The mean over frames of the summed cross-entropies; hidden states [n, size], targets [n, 6], not all of them ignored."""
        logits = self.heads(hidden).split(SIZES, dim=-1)
        summed = sum(F.cross_entropy(row, targets[:, i], ignore_index=IGNORE, reduction="sum") for i, row in enumerate(logits))
        return summed / len(hidden)
