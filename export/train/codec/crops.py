"""Random crops of recordings, drawn on the device that trains, so that a fast device need not wait for them."""

from __future__ import annotations

import numpy as np
import soxr
import torch
from torch import Tensor

from ..audio import SAMPLING_RATE
from ..data.recordings import Recording

SPEEDS = (1.0, 0.87, 1.15)  # every recording is stored at each of these
SPEED_SHARES = (0.6, 0.2, 0.2)
GAIN = (-0.6, 0.2)  # decimal logarithm, lower and upper bound


class Crops:
    """Draws crops of `length` samples at a random position, speed and loudness; each kind of recording has its share."""

    def __init__(self, recordings: list[Recording], shares: dict[str, float], length: int, device: torch.device):
        pieces = []
        spans = []
        weights = []
        counts = {kind: sum(r.kind == kind for r in recordings) for kind in shares}
        at = 0
        for recording in (r for r in recordings if r.kind in shares and len(r.samples)):
            for speed, share in zip(SPEEDS, SPEED_SHARES):
                samples = recording.samples if speed == 1.0 else soxr.resample(recording.samples, SAMPLING_RATE * speed, SAMPLING_RATE, quality="LQ")
                pieces.append(np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
                spans.append((at, len(samples)))
                weights.append(shares[recording.kind] * share / counts[recording.kind])
                at += len(samples)
        self._samples = torch.from_numpy(np.concatenate(pieces)).to(device)
        self._starts, self._lengths = torch.tensor(spans, device=device).unbind(1)
        self._weights = torch.tensor(weights, device=device)
        self._length = length

    def draw(self, count: int) -> Tensor:
        """Draws [count, length] float32 in ±1; recordings shorter than a crop are surrounded by silence."""
        chosen = torch.multinomial(self._weights, count, replacement=True)
        spare = self._lengths[chosen] - self._length
        offset = (torch.rand(count, device=spare.device) * (spare + 1).clamp(min=1)).long()
        lead = (torch.rand(count, device=spare.device) * (1 - spare).clamp(min=1)).long()
        at = torch.arange(self._length, device=spare.device) - lead[:, None] + offset[:, None]
        inside = (at >= 0) & (at < self._lengths[chosen, None])
        samples = self._samples[(self._starts[chosen, None] + at).clamp(0, len(self._samples) - 1)].float() / 32767 * inside
        gain = 10 ** (GAIN[0] + (GAIN[1] - GAIN[0]) * torch.rand(count, 1, device=spare.device))
        return (samples * gain).clamp(-1, 1)
