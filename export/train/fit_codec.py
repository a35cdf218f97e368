"""Stage `codec`: fits what is coded (principal components of the log spectrum) and the codebooks.

Nothing here is trained by gradient: the codes carry the detail of the spectrum from the start, where a learned
encoder on this little data and time only ever found its coarse outline.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recordings import Recording
from spectral_codec import SpectralCodec, SpectralCodecConfig
from storage import write_atomically

MAX_FRAMES = 60_000
ITERATIONS = 8  # of k-means, a level
DIGIT_SHARE = 0.5  # of the digit recordings


@torch.no_grad()
def fit(training: list[Recording], path: Path) -> None:
    torch.manual_seed(0)
    random.seed(0)
    codec = SpectralCodec(SpectralCodecConfig())
    spectra = _spectra(codec, training)
    print(f"{len(spectra)} frames", flush=True)
    latents = _fit_projection(codec, spectra)
    _fit_codebooks(codec, latents)
    state = {"model": codec.state_dict()}
    write_atomically(path, lambda file: torch.save(state, file))


def _spectra(codec: SpectralCodec, training: list[Recording]) -> Tensor:
    """Log spectra of the fine frames of every codec frame, [frames, bins · fine_factor], at random loudness."""
    c = codec.config
    chosen = []
    for recording in training:
        if recording.kind == "digit" and random.random() > DIGIT_SHARE:
            continue
        samples = recording.samples[: len(recording.samples) // c.hop_length * c.hop_length]
        peak = float(np.abs(samples).max(initial=1e-6))
        samples = samples * (random.uniform(0.4, 1.0) / peak if random.random() < 0.7 else random.uniform(0.4, 1.0))
        fine = codec.encoder.log_magnitudes(torch.from_numpy(samples.astype(np.float32))[None])[0]
        frames = fine.unfold(1, c.fine_factor, c.fine_factor).permute(1, 0, 2).flatten(1)
        silent = frames.amax(1) < np.log(c.log_floor) + 1.0
        chosen.append(frames[~silent | (torch.rand(len(frames)) < 0.1)])
    joined = torch.cat(chosen)
    return joined[torch.randperm(len(joined))[:MAX_FRAMES]]


def _fit_projection(codec: SpectralCodec, spectra: Tensor) -> Tensor:
    """Sets the encoder's projection and the decoder's inverse of it; returns the latents.

    Bins count as much as the mel scale gives them room.
    """
    c = codec.config
    hertz = torch.arange(c.bins) * (c.sampling_rate / c.n_fft)
    weight = (1000.0 / hertz.clamp(min=1000.0)).sqrt().repeat_interleave(c.fine_factor)
    mean = spectra.mean(0)
    weighted = (spectra - mean) * weight
    values, vectors = torch.linalg.eigh((weighted.T @ weighted / len(weighted)).double())
    components = vectors[:, -c.codebook_dim :].flip(1).T.float()
    print(f"components hold {float(values[-c.codebook_dim :].sum() / values.sum()):.3f} of the variance", flush=True)
    forward = components * weight
    backward = components / weight
    projection, expansion = codec.encoder.projection, codec.decoder.expansion
    projection.weight.copy_(forward.view(c.codebook_dim, c.bins, c.fine_factor))
    projection.bias.copy_(-forward @ mean)
    by_frame = backward.view(c.codebook_dim, c.bins, c.fine_factor).permute(2, 1, 0).flatten(0, 1)
    expansion.weight.copy_(by_frame)
    expansion.bias.copy_(mean.view(c.bins, c.fine_factor).T.flatten())
    return spectra @ forward.T + projection.bias


def _fit_codebooks(codec: SpectralCodec, latents: Tensor) -> None:
    total = latents.var(0).sum()
    residual = latents.clone()
    for level, codebook in enumerate(codec.quantizer.codebooks):
        codebook.copy_(_k_means(residual, len(codebook), codec.quantizer.nearest))
        residual -= codebook[codec.quantizer.nearest(residual, codebook)]
        print(f"level {level}: {float(residual.var(0).sum() / total):.4f} of the variance left", flush=True)


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
