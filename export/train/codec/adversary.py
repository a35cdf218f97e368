"""Discriminators on complex spectra, which learn to distinguish recordings from the codec's output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .. import mixed_precision

SLOPE = 0.1


class SpectrumDiscriminator(nn.Module):
    """Convolutions over time and frequency of one spectrum."""

    def __init__(self, n_fft: int, channels: int):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        shapes = [(2, (1, 1)), (channels, (1, 2)), (channels, (1, 2)), (channels, (1, 2))]  # inputs and strides
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, channels, (3, 9), stride=stride, padding=(1, 4))) for inputs, stride in shapes
        )
        self.layers.append(weight_norm(nn.Conv2d(channels, channels, 3, padding=1)))
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the scores of samples [batch, samples], and the activations of the layers."""
        spectrum = torch.stft(samples, self.n_fft, self.n_fft // 4, self.n_fft, self.window, normalized=True, return_complex=True)
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        seen = []
        with mixed_precision.networks(samples.device):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), SLOPE)
                seen.append(x)
            return self.last(x).float(), [y.float() for y in seen]


class Adversary(nn.Module):
    """Discriminators of several resolutions."""

    RESOLUTIONS = (256, 512, 1024)

    def __init__(self, channels: int = 32):
        super().__init__()
        self.parts = nn.ModuleList(SpectrumDiscriminator(n_fft, channels) for n_fft in self.RESOLUTIONS)

    def loss(self, real: Tensor, made: Tensor) -> Tensor:
        """Computes the discriminators' loss: recordings should score above 1, codec output below −1."""
        total = torch.zeros((), device=real.device)
        for part in self.parts:
            total = total + F.relu(1 - part(real)[0]).mean() + F.relu(1 + part(made.detach())[0]).mean()
        return total / len(self.parts)

    def against(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the codec's losses: low scores of its output, and activations that differ from those of the recordings."""
        score = torch.zeros((), device=real.device)
        features = torch.zeros((), device=real.device)
        for part in self.parts:
            with torch.no_grad():
                _, expected = part(real)
            given, seen = part(made)
            score = score - given.mean()
            features = features + sum((a - b).abs().mean() / (b.abs().mean() + 1e-6) for a, b in zip(seen, expected)) / len(seen)
        return score / len(self.parts), features / len(self.parts)
