"""The spectral codec: STFT log magnitudes → linear projection → residual vector quantisation → inverse STFT.

50 frames a second at 16 kHz. What is coded are the principal components of the log spectrum: encoder and
codebooks are fitted in closed form (`fit_codec.py`), only the decoder is trained by gradient. The decoder writes
each sound as a tonal part (magnitude and phase of every bin) plus a noise part (magnitude of complex Gaussian
noise), on frames finer than the codes. Training draws fresh noise; everybody else reads it from a fixed table by
absolute frame number, so that decoding is reproducible and decoding in chunks equals decoding at once.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SpectralCodecConfig:
    sampling_rate: int = 16_000
    hop_length: int = 320
    fine_factor: int = 2  # fine frames in a codec frame
    num_codebooks: int = 8
    codebook_size: int = 1024
    codebook_dim: int = 64
    n_fft: int = 640
    decoder_hidden_size: int = 256
    decoder_layers: int = 5
    fine_hidden_size: int = 192
    fine_layers: int = 2
    expansion: int = 3
    kernel_size: int = 7
    input_kernel_size: int = 5
    log_floor: float = 1e-2
    max_log_magnitude: float = 6.0
    noise_period: int = 256  # codec frames until the noise table repeats
    noise_scale: float = 1 / 32  # of the table's int8 values

    @property
    def fine_hop(self) -> int:
        return self.hop_length // self.fine_factor

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def context_frames(self) -> int:
        """Codec frames on each side that a frame of decoded sound depends on, at the most."""
        half = self.kernel_size // 2
        overlap = math.ceil((self.n_fft - self.fine_hop) / 2 / self.fine_hop)
        fine = self.fine_layers * half + overlap
        return self.input_kernel_size // 2 + self.decoder_layers * half + math.ceil(fine / self.fine_factor)

    def to_dict(self) -> dict:
        """`codec/config.json` of a checkpoint."""
        return {"model_type": "ualm_spectral", **asdict(self), "context_frames": self.context_frames}


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron on every frame, added to the input."""

    def __init__(self, size: int, kernel_size: int, expansion: int):
        super().__init__()
        self.depthwise = nn.Conv1d(size, size, kernel_size, padding=kernel_size // 2, groups=size)
        self.norm = nn.LayerNorm(size)
        self.up = nn.Linear(size, expansion * size)
        self.down = nn.Linear(expansion * size, size)
        self.scale = nn.Parameter(torch.full((size,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).transpose(1, 2)


def dft_basis(n_fft: int) -> Tensor:
    """Windowed DFT as convolution kernels [2 · bins, 1, n_fft]: real parts, then imaginary parts."""
    n = torch.arange(n_fft, dtype=torch.float64)
    angle = 2 * math.pi * torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None] * n / n_fft
    window = torch.hann_window(n_fft, dtype=torch.float64)
    return (torch.cat([torch.cos(angle), -torch.sin(angle)]) * window)[:, None].float()


def inverse_dft_basis(n_fft: int, hop: int) -> Tensor:
    """Inverse DFT, window and division by the window sum in one matrix [2 · bins, n_fft]."""
    bins = n_fft // 2 + 1
    n = torch.arange(n_fft, dtype=torch.float64)
    angle = 2 * math.pi * torch.arange(bins, dtype=torch.float64)[:, None] * n / n_fft
    weight = torch.full((bins, 1), 2.0, dtype=torch.float64)
    weight[0] = weight[-1] = 1.0
    window = torch.hann_window(n_fft, dtype=torch.float64)
    window_sum = (window**2).sum() / hop
    basis = torch.cat([weight * torch.cos(angle), -weight * torch.sin(angle)]) / n_fft
    return (basis * window / window_sum).float()


class SpectralEncoder(nn.Module):
    """Log magnitudes of the fine frames of one codec frame, projected on `codebook_dim` components."""

    def __init__(self, config: SpectralCodecConfig):
        super().__init__()
        self.config = config
        self.register_buffer("basis", dft_basis(config.n_fft), persistent=False)
        self.projection = nn.Conv1d(config.bins, config.codebook_dim, config.fine_factor, stride=config.fine_factor)

    def log_magnitudes(self, samples: Tensor) -> Tensor:
        """[batch, samples] → [batch, bins, fine frames]."""
        c = self.config
        spectrum = F.conv1d(samples[:, None], self.basis, stride=c.fine_hop, padding=(c.n_fft - c.fine_hop) // 2)
        real, imaginary = spectrum.chunk(2, dim=1)
        return 0.5 * torch.log(real**2 + imaginary**2 + c.log_floor**2)

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] → latents [batch, frames, codebook_dim]."""
        return self.projection(self.log_magnitudes(samples)).transpose(1, 2)


class ResidualQuantizer(nn.Module):
    """Each level takes the entry nearest to what the levels before left over."""

    def __init__(self, levels: int, size: int, dim: int):
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(levels, size, dim))

    @staticmethod
    def nearest(residual: Tensor, codebook: Tensor) -> Tensor:
        return (2 * residual @ codebook.T - (codebook**2).sum(1)).argmax(-1)

    def encode(self, latents: Tensor) -> Tensor:
        """[batch, frames, dim] → codes [batch, levels, frames]."""
        residual, codes = latents, []
        for codebook in self.codebooks:
            chosen = self.nearest(residual, codebook)
            residual = residual - codebook[chosen]
            codes.append(chosen)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, levels, frames] → [batch, frames, dim]."""
        return sum(codebook[codes[:, i]] for i, codebook in enumerate(self.codebooks))


class SpectralDecoder(nn.Module):
    def __init__(self, config: SpectralCodecConfig):
        super().__init__()
        self.config = config
        size, fine = config.decoder_hidden_size, config.fine_hidden_size
        kernel = config.input_kernel_size
        self.conv_in = nn.Conv1d(config.codebook_dim, size, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(
            ConvNextBlock(size, config.kernel_size, config.expansion) for _ in range(config.decoder_layers)
        )
        self.upsample_norm = nn.LayerNorm(size)
        self.upsample = nn.Linear(size, config.fine_factor * fine)
        self.fine_blocks = nn.ModuleList(
            ConvNextBlock(fine, config.kernel_size, config.expansion) for _ in range(config.fine_layers)
        )
        self.norm = nn.LayerNorm(fine)
        self.head = nn.Linear(fine, 3 * config.bins)
        self.expansion = nn.Linear(config.codebook_dim, config.fine_factor * config.bins)
        with torch.no_grad():
            # At first the decoder is the inverse of the projection with noise for a carrier.
            self.head.weight.mul_(0.1)
            self.head.bias[: config.bins] = -2.0
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(config.noise_period * config.fine_factor, 2 * config.bins, generator=generator)
        table = torch.round(noise / math.sqrt(2) / config.noise_scale).clamp(-127, 127).to(torch.int8)
        self.register_buffer("noise_table", table)
        self.register_buffer("basis", inverse_dft_basis(config.n_fft, config.fine_hop), persistent=False)

    def spectrum(self, latents: Tensor) -> Tensor:
        """Latents [batch, frames, dim] → log magnitude, phase and log noise magnitude of every fine frame."""
        c = self.config
        x = self.conv_in(latents.transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.upsample(self.upsample_norm(x.transpose(1, 2)))
        x = x.reshape(x.shape[0], -1, c.fine_hidden_size).transpose(1, 2)
        for block in self.fine_blocks:
            x = block(x)
        log_magnitude, phase, log_noise = self.head(self.norm(x.transpose(1, 2))).split(c.bins, dim=-1)
        coded = self.expansion(latents).reshape(x.shape[0], -1, c.bins)
        return torch.cat([coded + log_magnitude, phase, coded + log_noise], dim=-1)

    def fresh_noise(self, spectrum: Tensor) -> Tensor:
        shape = (*spectrum.shape[:2], 2 * self.config.bins)
        return torch.randn(shape, device=spectrum.device) / math.sqrt(2)

    def table_noise(self, spectrum: Tensor, first_frame: int) -> Tensor:
        first = first_frame * self.config.fine_factor
        index = (first + torch.arange(spectrum.shape[1], device=spectrum.device)) % len(self.noise_table)
        return self.noise_table[index].float() * self.config.noise_scale

    def synthesize(self, spectrum: Tensor, noise: Tensor) -> Tensor:
        """Inverse STFT of the tonal part plus the scaled noise → samples [batch, hop_length · frames]."""
        c = self.config
        log_magnitude, phase, log_noise = spectrum.float().split(c.bins, dim=-1)
        magnitude = torch.exp(log_magnitude.clamp(max=c.max_log_magnitude))
        noise_magnitude = torch.exp(log_noise.clamp(max=c.max_log_magnitude))
        parts = torch.cat([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], dim=-1)
        parts = parts + torch.cat([noise_magnitude, noise_magnitude], dim=-1) * noise
        frames = (parts @ self.basis).transpose(1, 2)
        length = (frames.shape[-1] - 1) * c.fine_hop + c.n_fft
        samples = F.fold(frames, (1, length), (1, c.n_fft), stride=(1, c.fine_hop))[:, 0, 0]
        edge = (c.n_fft - c.fine_hop) // 2
        return samples[:, edge : length - edge]


class SpectralCodec(nn.Module):
    def __init__(self, config: SpectralCodecConfig):
        super().__init__()
        self.config = config
        self.encoder = SpectralEncoder(config)
        self.quantizer = ResidualQuantizer(config.num_codebooks, config.codebook_size, config.codebook_dim)
        self.decoder = SpectralDecoder(config)

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """[batch, samples] (a multiple of hop_length) → codes [batch, levels, frames]."""
        return self.quantizer.encode(self.encoder(samples))

    @torch.no_grad()
    def decode(self, codes: Tensor, first_frame: int = 0) -> Tensor:
        """Codes [batch, levels, frames] → samples [batch, hop_length · frames]."""
        spectrum = self.decoder.spectrum(self.quantizer.decode(codes))
        return self.decoder.synthesize(spectrum, self.decoder.table_noise(spectrum, first_frame))
