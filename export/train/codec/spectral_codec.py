"""The spectral codec: band energies → linear projection → residual vector quantisation → inverse STFT.

50 frames a second at 16 kHz. The codes hold the principal components of two views of the sound: narrow bands over
a long window (pitch, timbre) and wide bands over short ones (attacks). Projection and codebooks are fitted in closed
form (`fit.py`), the decoder is trained by gradient. It writes each sound as a tonal part and a noise part:

- the tonal part has a magnitude for every bin and a phase *relative to a carrier* of the bin's frequency that runs on
  with the absolute frame number, so that a steady tone is a steady output of the network;
- the noise part is Gaussian noise, shaped by a magnitude for every bin of much shorter frames, which keeps clicks short.

Training draws fresh noise; decoding reads it from a fixed table by absolute frame number, so that it is reproducible and
decoding in chunks equals decoding at once. Entry 0 of every codebook but the first is zero: a clip can be coded with fewer
levels by writing code 0 in the others.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..audio.mel import filter_bank


@dataclass(frozen=True)
class SpectralCodecConfig:
    """The sizes of the codec; lengths and hops are in samples."""

    sampling_rate: int = 16_000
    hop_length: int = 320
    num_codebooks: int = 8
    codebook_size: int = 1024
    codebook_dim: int = 72
    narrow_n_fft: int = 1024  # one frame in a codec frame
    narrow_bands: int = 96
    brief_n_fft: int = 256
    brief_bands: int = 20
    brief_factor: int = 4  # brief frames in a codec frame
    log_floor: float = 3e-3
    tonal_n_fft: int = 640
    tonal_factor: int = 2  # tonal frames in a codec frame
    noise_n_fft: int = 160
    noise_factor: int = 4  # noise frames in a codec frame
    noise_period: int = 256  # codec frames until the noise table repeats
    noise_scale: float = 1 / 32  # of the table's int8 values
    encoder_hidden_size: int = 192
    encoder_layers: int = 0  # 0: the latents are a projection of the band energies alone
    decoder_hidden_size: int = 256
    decoder_layers: int = 5
    fine_hidden_size: int = 192  # of the layers that run once a tonal frame
    fine_layers: int = 2
    expansion: int = 3
    kernel_size: int = 7
    input_kernel_size: int = 5
    max_log_magnitude: float = 6.0

    @property
    def narrow_hop(self) -> int:
        return self.hop_length

    @property
    def brief_hop(self) -> int:
        return self.hop_length // self.brief_factor

    @property
    def tonal_hop(self) -> int:
        return self.hop_length // self.tonal_factor

    @property
    def noise_hop(self) -> int:
        return self.hop_length // self.noise_factor

    @property
    def tonal_bins(self) -> int:
        return self.tonal_n_fft // 2 + 1

    @property
    def noise_bins(self) -> int:
        return self.noise_n_fft // 2 + 1

    @property
    def noise_split(self) -> int:
        """Noise frames in a tonal frame."""
        return self.noise_factor // self.tonal_factor

    @property
    def carrier_period(self) -> int:
        """Tonal frames until every carrier returns to its first phase."""
        return self.tonal_n_fft // math.gcd(self.tonal_n_fft, self.tonal_hop)

    @property
    def features(self) -> int:
        """Band energies of a codec frame."""
        return self.narrow_bands + self.brief_factor * self.brief_bands

    @property
    def outputs(self) -> int:
        """Decoder outputs of a tonal frame: log magnitudes and phases of the tonal part, log magnitudes of the noise."""
        return 2 * self.tonal_bins + self.noise_split * self.noise_bins

    @property
    def context_frames(self) -> int:
        """The maximum number of codec frames on each side that affect a frame of decoded sound."""
        half = self.kernel_size // 2
        overlap = math.ceil((self.tonal_n_fft - self.tonal_hop) / 2 / self.tonal_hop)
        fine = self.fine_layers * half + overlap
        return self.input_kernel_size // 2 + self.decoder_layers * half + math.ceil(fine / self.tonal_factor)

    def to_dict(self) -> dict:
        """Returns the content of `codec/config.json` in a checkpoint."""
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


def hann(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft, dtype=torch.float64)


def angles(n_fft: int) -> Tensor:
    """Returns the DFT's angles [bins, n_fft]."""
    return 2 * math.pi * torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None] * torch.arange(n_fft) / n_fft


def dft_basis(n_fft: int) -> Tensor:
    """Returns the windowed DFT as convolution kernels [2 · bins, 1, n_fft]: real parts, then imaginary parts."""
    basis = torch.cat([torch.cos(angles(n_fft)), -torch.sin(angles(n_fft))])
    return (basis * hann(n_fft))[:, None].float()


def inverse_dft_basis(window: Tensor, hop: int) -> Tensor:
    """Returns inverse DFT, window and division by the window sum as one matrix [2 · bins, n_fft]."""
    n_fft = len(window)
    weight = torch.full((n_fft // 2 + 1, 1), 2.0, dtype=torch.float64)
    weight[0] = weight[-1] = 1.0
    basis = torch.cat([weight * torch.cos(angles(n_fft)), -weight * torch.sin(angles(n_fft))]) / n_fft
    return (basis * window / ((window**2).sum() / hop)).float()


def carriers(config: SpectralCodecConfig) -> Tensor:
    """Returns phases, at the start of each tonal frame, of tones with phase 0 at the middle of frame 0, [period, bins]."""
    c = config
    samples = torch.arange(c.carrier_period) * c.tonal_hop - c.tonal_n_fft // 2
    return 2 * math.pi * (samples[:, None] * torch.arange(c.tonal_bins) % c.tonal_n_fft) / c.tonal_n_fft


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Adds frames [batch, n, size], `size` a multiple of `hop`, to samples [batch, hop · n]; both edges are cut equally."""
    batch, count, size = frames.shape
    parts = frames.unflatten(-1, (size // hop, hop))
    total = sum(F.pad(parts[:, :, i], (0, 0, i, size // hop - 1 - i)) for i in range(size // hop))
    edge = (size - hop) // 2
    return total.flatten(1)[:, edge : edge + hop * count]


class BandSpectrum(nn.Module):
    """Log energies of mel bands, one frame every `hop` samples."""

    def __init__(self, n_fft: int, hop: int, bands: int, sampling_rate: int, log_floor: float):
        super().__init__()
        self.hop = hop
        self.padding = (n_fft - hop) // 2
        self.log_floor = log_floor
        bank = torch.tensor(filter_bank(n_fft, bands, sampling_rate), dtype=torch.float32)
        self.register_buffer("bank", bank / bank.sum(1, keepdim=True))
        self.register_buffer("basis", dft_basis(n_fft), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] → [batch, bands, frames]."""
        real, imaginary = F.conv1d(samples[:, None], self.basis, stride=self.hop, padding=self.padding).chunk(2, dim=1)
        return 0.5 * torch.log(self.bank @ (real**2 + imaginary**2) + self.log_floor**2)


class SpectralEncoder(nn.Module):
    """The band energies of a codec frame, projected on `codebook_dim` components."""

    def __init__(self, config: SpectralCodecConfig):
        super().__init__()
        c = self.config = config
        self.narrow = BandSpectrum(c.narrow_n_fft, c.narrow_hop, c.narrow_bands, c.sampling_rate, c.log_floor)
        self.brief = BandSpectrum(c.brief_n_fft, c.brief_hop, c.brief_bands, c.sampling_rate, c.log_floor)
        self.projection = nn.Linear(c.features, c.codebook_dim)
        if c.encoder_layers:  # corrects the projection; its initial output is zero
            size = c.encoder_hidden_size
            self.enter = nn.Linear(c.features, size)
            self.blocks = nn.ModuleList(ConvNextBlock(size, c.kernel_size, c.expansion) for _ in range(c.encoder_layers))
            self.leave = nn.Linear(size, c.codebook_dim)
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def energies(self, samples: Tensor) -> Tensor:
        """[batch, samples] → [batch, frames, features]: the narrow bands, then the brief frames in order."""
        narrow = self.narrow(samples).transpose(1, 2)
        brief = self.brief(samples).unflatten(2, (-1, self.config.brief_factor)).permute(0, 2, 3, 1).flatten(2)
        return torch.cat([narrow, brief], dim=2)

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] → latents [batch, frames, codebook_dim]."""
        energies = self.energies(samples)
        return self.projection(energies) + self.correction(energies) if self.config.encoder_layers else self.projection(energies)

    def correction(self, energies: Tensor) -> Tensor:
        x = self.enter(energies).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.leave(x.transpose(1, 2))


class ResidualQuantizer(nn.Module):
    """Residual quantizer: each level chooses the entry nearest to the remainder of the levels before it."""

    def __init__(self, levels: int, size: int, dim: int):
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(levels, size, dim))

    @staticmethod
    def nearest(residual: Tensor, codebook: Tensor) -> Tensor:
        return (2 * residual @ codebook.T - (codebook**2).sum(1)).argmax(-1)

    def encode(self, latents: Tensor) -> Tensor:
        """[batch, frames, dim] → codes [batch, levels, frames]."""
        residual = latents
        codes = []
        for codebook in self.codebooks:
            chosen = self.nearest(residual, codebook)
            residual = residual - codebook[chosen]
            codes.append(chosen)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, levels, frames] → [batch, frames, dim]."""
        return sum(codebook[codes[:, i]] for i, codebook in enumerate(self.codebooks))


class SpectralDecoder(nn.Module):
    """Latents to the spectra of a tonal and a noise part, and these to samples."""

    def __init__(self, config: SpectralCodecConfig):
        super().__init__()
        c = self.config = config
        size = c.decoder_hidden_size
        fine = c.fine_hidden_size
        kernel = c.input_kernel_size
        self.conv_in = nn.Conv1d(c.codebook_dim, size, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(ConvNextBlock(size, c.kernel_size, c.expansion) for _ in range(c.decoder_layers))
        self.upsample_norm = nn.LayerNorm(size)
        self.upsample = nn.Linear(size, c.tonal_factor * fine)
        self.fine_blocks = nn.ModuleList(ConvNextBlock(fine, c.kernel_size, c.expansion) for _ in range(c.fine_layers))
        self.norm = nn.LayerNorm(fine)
        self.head = nn.Linear(fine, c.outputs)
        # The linear part of the output, fitted with the codebooks; the network adds a correction.
        self.expansion = nn.Linear(c.codebook_dim, c.tonal_factor * c.outputs)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias[: c.tonal_bins] = -2.0  # initially noise dominates
        self.register_buffer("noise_table", self._draw_table())
        self.register_buffer("tonal_basis", inverse_dft_basis(hann(c.tonal_n_fft), c.tonal_hop), persistent=False)
        noise_window = torch.sin(math.pi * (torch.arange(c.noise_n_fft, dtype=torch.float64) + 0.5) / c.noise_n_fft)
        self.register_buffer("noise_basis", inverse_dft_basis(noise_window, c.noise_hop), persistent=False)
        self.register_buffer("carriers", carriers(c), persistent=False)

    def _draw_table(self) -> Tensor:
        c = self.config
        noise = torch.randn(c.noise_period * c.noise_factor, 2 * c.noise_bins, generator=torch.Generator().manual_seed(0))
        return torch.round(noise / math.sqrt(2) / c.noise_scale).clamp(-127, 127).to(torch.int8)

    def spectrum(self, latents: Tensor) -> Tensor:
        """Latents [batch, frames, dim] → [batch, tonal frames, outputs]."""
        c = self.config
        x = self.conv_in(latents.transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.upsample(self.upsample_norm(x.transpose(1, 2)))
        x = x.reshape(x.shape[0], -1, c.fine_hidden_size).transpose(1, 2)
        for block in self.fine_blocks:
            x = block(x)
        coded = self.expansion(latents).reshape(x.shape[0], -1, c.outputs)
        return coded + self.head(self.norm(x.transpose(1, 2)))

    def fresh_noise(self, frames: int, batch: int) -> Tensor:
        """Draws complex noise for `frames` tonal frames, [batch, noise frames, 2 · noise bins]."""
        c = self.config
        return torch.randn(batch, frames * c.noise_split, 2 * c.noise_bins, device=self.noise_table.device) / math.sqrt(2)

    def table_noise(self, frames: int, first_frame: int) -> Tensor:
        c = self.config
        index = first_frame * c.noise_factor + torch.arange(frames * c.noise_split, device=self.noise_table.device)
        return self.noise_table[index % len(self.noise_table)].float()[None] * c.noise_scale

    def synthesize(self, spectrum: Tensor, noise: Tensor, first_frame: int = 0) -> Tensor:
        """Adds the inverse STFT of the tonal part and of the shaped noise: samples [batch, hop_length · frames]."""
        return self.tones(spectrum, first_frame) + self.shaped(spectrum, noise)

    def tones(self, spectrum: Tensor, first_frame: int) -> Tensor:
        c = self.config
        log_magnitude, phase = spectrum[..., : 2 * c.tonal_bins].chunk(2, dim=-1)
        index = first_frame * c.tonal_factor + torch.arange(spectrum.shape[1], device=spectrum.device)
        phase = phase + self.carriers[index % c.carrier_period]
        magnitude = torch.exp(log_magnitude.clamp(max=c.max_log_magnitude))
        parts = torch.cat([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], dim=-1)
        return overlap_add(parts @ self.tonal_basis, c.tonal_hop)

    def shaped(self, spectrum: Tensor, noise: Tensor) -> Tensor:
        c = self.config
        log_magnitude = spectrum[..., 2 * c.tonal_bins :].unflatten(-1, (c.noise_split, c.noise_bins)).flatten(1, 2)
        magnitude = torch.exp(log_magnitude.clamp(max=c.max_log_magnitude))
        return overlap_add((torch.cat([magnitude, magnitude], dim=-1) * noise) @ self.noise_basis, c.noise_hop)


class SpectralCodec(nn.Module):
    """The encoder, the quantizer and the decoder."""

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
        noise = self.decoder.table_noise(spectrum.shape[1], first_frame)
        return self.decoder.synthesize(spectrum, noise, first_frame)
