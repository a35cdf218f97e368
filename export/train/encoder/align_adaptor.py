"""Fits the adaptor of a language model to a newly trained audio tower.

The model was trained with the features of another tower. A linear map from the new features to the old ones, put before the
adaptor, preserves most of its hearing at once.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.log_mel import log_mel
from ..data.recordings import Recording
from ..files import write_atomically
from ..storage import read
from .audio_tower import AudioTower

CLIPS = 600
RIDGE = 1e-3  # relative to the variance of the new features
ADAPTOR = "model.adaptor.continuous_audio."


def write_aligned(start: Path, old: AudioTower, new: AudioTower, recordings: list[Recording], path: Path) -> None:
    """Writes the language model in `start` to `path`, its adaptor fitted to the `new` tower."""
    state = read(start)["model"]
    clips = random.Random(0).sample(recordings, min(CLIPS, len(recordings)))
    before = features(old, clips)
    after = features(new, clips)
    matrix, offset, explained = fitted(after, before)
    weight = state[ADAPTOR + "weight"]
    bias = state[ADAPTOR + "bias"]
    state |= {ADAPTOR + "weight": weight @ matrix, ADAPTOR + "bias": weight @ offset + bias}
    print(f"the adaptor is fitted to the new tower: {100 * explained:.0f} % of the old features' variance is explained", flush=True)
    write_atomically(path, lambda file: torch.save({"model": state}, file))


@torch.no_grad()
def features(tower: AudioTower, recordings: list[Recording]) -> Tensor:
    """Returns the concatenated features of all clips [n, size]."""
    return torch.cat([tower.encode([log_mel(r.samples)])[0] for r in recordings if len(np.atleast_1d(r.samples)) >= 1600])


def fitted(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, float]:
    """Fits a ridge regression from `given` to `wanted`; returns its matrix, its offset and the explained share of the variance."""
    centre = given.mean(0)
    goal = wanted.mean(0)
    x = (given - centre).double()
    y = (wanted - goal).double()
    scatter = x.T @ x
    scatter += RIDGE * scatter.diagonal().mean() * torch.eye(len(scatter), dtype=torch.float64)
    matrix = torch.linalg.solve(scatter, x.T @ y).T
    explained = 1 - float((y - x @ matrix.T).square().sum() / y.square().sum())
    matrix = matrix.float()
    return matrix, goal - matrix @ centre, explained
