"""Stage `codec`: fits the projection (principal components of the band energies), the codebooks, and a first decoder.

Nothing is trained by gradient: the codes carry the detail of the spectrum from the start, whereas an encoder trained on so
little data and time learned only the coarse outline.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.recordings import Recording
from ..files import write_atomically
from .spectral_codec import SpectralCodec, SpectralCodecConfig, dft_basis

MAX_FRAMES = 100_000
ITERATIONS = 10  # of k-means, a level
SHARES = {"sound": 1.0, "digit": 0.3, "made": 1.0, "clear": 1.0, "other": 0.3}  # of the recordings of a kind
BRIEF_WEIGHT = 0.7  # of a brief band, against a narrow one
RIDGE = 1e-3
NOISE_LEVEL = 0.64  # log mean of a Gaussian's magnitude below its root mean square (0.29), and two windows that overlap


@torch.no_grad()
def fit(training: list[Recording], path: Path) -> None:
    torch.manual_seed(0)
    random.seed(0)
    codec = SpectralCodec(SpectralCodecConfig())
    energies, outputs = _observe(codec, training)
    print(f"{len(energies)} frames", flush=True)
    latents = _fit_projection(codec, energies)
    quantized = _fit_codebooks(codec, latents)
    _fit_expansion(codec, quantized, outputs)
    state = {"model": codec.state_dict()}
    write_atomically(path, lambda file: torch.save(state, file))


def _observe(codec: SpectralCodec, training: list[Recording]) -> tuple[Tensor, Tensor]:
    """Collects band energies of codec frames at random loudness, and the decoder outputs that fit them best."""
    c = codec.config
    energies = []
    outputs = []
    for recording in training:
        if random.random() > SHARES[recording.kind]:
            continue
        samples = recording.samples[: len(recording.samples) // c.hop_length * c.hop_length]
        peak = float(np.abs(samples).max(initial=1e-6))
        samples = samples * (random.uniform(0.4, 1.0) / peak if random.random() < 0.7 else random.uniform(0.4, 1.0))
        waveform = torch.from_numpy(samples.astype(np.float32))[None]
        frames = codec.encoder.energies(waveform)[0]
        loud = frames.amax(1) > math.log(c.log_floor) + 1.0
        kept = loud | (torch.rand(len(frames)) < 0.1)
        energies.append(frames[kept])
        outputs.append(_outputs(codec, waveform)[kept])
    chosen = torch.randperm(sum(map(len, energies)))[:MAX_FRAMES]
    return torch.cat(energies)[chosen], torch.cat(outputs)[chosen]


def _outputs(codec: SpectralCodec, waveform: Tensor) -> Tensor:
    """Computes log magnitudes of tonal and noise bins and phases 0, [frames, tonal_factor · outputs]."""
    c = codec.config

    def log_magnitudes(n_fft: int, hop: int) -> Tensor:
        spectrum = F.conv1d(waveform[:, None], dft_basis(n_fft), stride=hop, padding=(n_fft - hop) // 2)
        real, imaginary = spectrum[0].chunk(2)
        return 0.5 * torch.log(real**2 + imaginary**2 + c.log_floor**2).T

    tonal = log_magnitudes(c.tonal_n_fft, c.tonal_hop)
    noise = log_magnitudes(c.noise_n_fft, c.noise_hop).reshape(len(tonal), -1) + NOISE_LEVEL
    return torch.cat([tonal, torch.zeros_like(tonal), noise], dim=1).reshape(-1, c.tonal_factor * c.outputs)


def _fit_projection(codec: SpectralCodec, energies: Tensor) -> Tensor:
    """Sets the encoder's projection and returns the latents."""
    c = codec.config
    weight = torch.ones(c.features)
    weight[c.narrow_bands :] = BRIEF_WEIGHT
    mean = energies.mean(0)
    weighted = (energies - mean) * weight
    values, vectors = torch.linalg.eigh((weighted.T @ weighted / len(weighted)).double())
    components = vectors[:, -c.codebook_dim :].flip(1).T.float()
    print(f"components hold {float(values[-c.codebook_dim :].sum() / values.sum()):.3f} of the variance", flush=True)
    projection = codec.encoder.projection
    projection.weight.copy_(components * weight)
    projection.bias.copy_(-projection.weight @ mean)
    return projection(energies)


def _fit_codebooks(codec: SpectralCodec, latents: Tensor) -> Tensor:
    """Sets the codebooks and returns the quantized latents."""
    total = latents.var(0).sum()
    residual = latents.clone()
    for level, codebook in enumerate(codec.quantizer.codebooks):
        codebook.copy_(_k_means(residual, len(codebook), codec.quantizer.nearest))
        if level:
            codebook[0] = 0.0  # so that an omitted level adds nothing
        residual -= codebook[codec.quantizer.nearest(residual, codebook)]
        print(f"level {level}: {float(residual.var(0).sum() / total):.4f} of the variance left", flush=True)
    return latents - residual


def _k_means(points: Tensor, count: int, nearest) -> Tensor:
    centres = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(ITERATIONS):
        chosen = nearest(points, centres)
        sizes = torch.bincount(chosen, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, chosen, points)
        centres = sums / sizes.clamp(min=1)[:, None]
        empty = sizes == 0
        centres[empty] = points[torch.randint(len(points), (int(empty.sum()),))]
    return centres


def _fit_expansion(codec: SpectralCodec, latents: Tensor, outputs: Tensor) -> None:
    """Sets the linear map from quantized latents to decoder outputs by least squares."""
    mean = outputs.mean(0)
    centre = latents.mean(0)
    centred = latents - centre
    scatter = centred.T @ centred + RIDGE * len(latents) * torch.eye(latents.shape[1])
    weight = torch.linalg.solve(scatter, centred.T @ (outputs - mean)).T
    codec.decoder.expansion.weight.copy_(weight)
    codec.decoder.expansion.bias.copy_(mean - weight @ centre)
