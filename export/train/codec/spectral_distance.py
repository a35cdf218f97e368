"""A perceptual distance of sounds, and the energy distance based on it."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from ..audio.mel import filter_bank


class SpectralDistance(nn.Module):
    """Mean absolute difference of log-mel and linear spectra at several resolutions."""

    RESOLUTIONS = ((256, 32), (512, 64), (1024, 80), (2048, 128))  # (n_fft, mel bins)

    def __init__(self, sampling_rate: int):
        super().__init__()
        for n_fft, bins in self.RESOLUTIONS:
            bank = torch.tensor(filter_bank(n_fft, bins, sampling_rate), dtype=torch.float32)
            self.register_buffer(f"bank_{n_fft}", bank)
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft))

    def spectra(self, samples: Tensor, sizes: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Computes log-mel, log-linear and linear magnitudes of every resolution in `sizes` (values of n_fft)."""
        result = []
        for n_fft in sizes:
            window = getattr(self, f"window_{n_fft}")
            complex_spectrum = torch.stft(samples, n_fft, n_fft // 4, n_fft, window, return_complex=True)
            magnitude = torch.sqrt(torch.view_as_real(complex_spectrum).square().sum(-1) + 1e-10)
            mel = torch.log(getattr(self, f"bank_{n_fft}") @ magnitude + 1e-4)
            result.append((mel, torch.log(magnitude + 1e-3), magnitude))
        return result

    def forward(self, a: list, b: list, scale: list) -> Tensor:
        """Computes the distance of two results of `spectra`; the linear term is relative to the loudness of `scale`."""
        total = 0.0
        for (mel_a, log_a, lin_a), (mel_b, log_b, lin_b), (_, _, lin_scale) in zip(a, b, scale):
            linear = (lin_a - lin_b).abs().mean() / (lin_scale.mean() + 1e-4)
            total = total + (mel_a - mel_b).abs().mean() + 0.5 * (log_a - log_b).abs().mean() + 0.5 * linear
        return total / len(a)

    def energy(self, target: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Computes d(x, y₁) + d(x, y₂) − d(y₁, y₂) for two independent draws y (arXiv 2008.01160).

        Its minimum is the distribution of the target. An L1 loss alone would converge to the mean and turn every noise into
        a buzz. Each call uses two random resolutions, which halves its cost.
        """
        sizes = random.sample([n_fft for n_fft, _ in self.RESOLUTIONS], 2)
        x, y1, y2 = (self.spectra(samples, sizes) for samples in (target, first, second))
        return self(x, y1, x) + self(x, y2, x) - self(y1, y2, x)
