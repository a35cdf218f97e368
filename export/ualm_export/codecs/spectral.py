"""The spectral codec of `export/train` as graphs: band energies, residual quantizer, ConvNeXt blocks, inverse STFT.

The decoder writes a tonal part (magnitude of every bin, and phase relative to a carrier that runs on with the absolute
frame number) and a noise part (magnitudes of complex Gaussian noise from a table, indexed by absolute frame number). Its
input `first_frame` is therefore needed.
"""

import math
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np

from ..blocks import residual_vector_quantizer
from ..blocks.convnext import convnext_block, convnext_shapes
from ..blocks.norm import layer_norm
from ..blocks.shapes import Shapes, linear_shapes, norm_shapes, within
from ..blocks.spectrum import dft_basis, hann, inverse_dft_basis, sine
from ..config import Config
from ..errors import ExportError
from ..graph import FLOAT, INT64, GraphBuilder, Storage
from ..tensors import Prefixed
from . import books_of, windowed


@dataclass(frozen=True)
class Sizes:
    """The sizes of the codec, by their names in its config."""

    sampling_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int
    codebook_dim: int
    narrow_n_fft: int
    narrow_bands: int
    brief_n_fft: int
    brief_bands: int
    brief_factor: int
    log_floor: float
    tonal_n_fft: int
    tonal_factor: int
    noise_n_fft: int
    noise_factor: int
    noise_period: int
    noise_scale: float
    decoder_hidden_size: int
    decoder_layers: int
    fine_hidden_size: int
    fine_layers: int
    expansion: int
    kernel_size: int
    input_kernel_size: int
    max_log_magnitude: float
    encoder_hidden_size: int = 0
    encoder_layers: int = 0
    """0: the encoder is a projection of the band energies. Older configs lack the field."""

    @classmethod
    def from_config(cls, config: Config) -> "Sizes":
        sizes = cls(**{
            field.name: config.get(field.name) if field.default is MISSING else config.get(field.name, default=field.default)
            for field in fields(cls)
        })  # fmt: skip
        sizes._check(config.source)
        return sizes

    def _check(self, source: str) -> None:
        for name in ("brief_factor", "tonal_factor", "noise_factor"):
            if self.hop_length % getattr(self, name):
                raise ExportError(f"{source}: {name} is {getattr(self, name)}; expected a divisor of hop_length, {self.hop_length}")
        if self.noise_factor % self.tonal_factor:
            raise ExportError(f"{source}: tonal_factor is {self.tonal_factor}; expected a divisor of noise_factor, {self.noise_factor}")
        for name in ("kernel_size", "input_kernel_size"):
            if getattr(self, name) % 2 == 0:
                raise ExportError(f"{source}: {name} is {getattr(self, name)}; expected an odd size")
        for name, hop in (
            ("narrow_n_fft", self.hop_length), ("brief_n_fft", self.hop_length // self.brief_factor),
            ("tonal_n_fft", self.tonal_hop), ("noise_n_fft", self.noise_hop),
        ):  # fmt: skip
            n_fft = getattr(self, name)
            if n_fft % 2 or hop % 2 or n_fft < hop:
                raise ExportError(f"{source}: {name} and its hop must be even, {name} the larger; found {n_fft} and {hop}")

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
        """The decoder's outputs of a tonal frame: log magnitudes and phases of the tonal part, log magnitudes of the noise."""
        return 2 * self.tonal_bins + self.noise_split * self.noise_bins

    @property
    def context_frames(self) -> int:
        half = self.kernel_size // 2
        overlap = math.ceil((self.tonal_n_fft - self.tonal_hop) / 2 / self.tonal_hop)
        fine = self.fine_layers * half + overlap
        return self.input_kernel_size // 2 + self.decoder_layers * half + math.ceil(fine / self.tonal_factor)


class SpectralCodec:
    """The spectral codec. Its tensors have the names of `export/train` after a prefix. `Codec` documents the interface."""

    name = "ualm_spectral"

    def __init__(self, config: Config, prefix: str, books: int | None = None):
        self.prefix = prefix
        self.sizes = Sizes.from_config(config)
        self.sampling_rate = self.sizes.sampling_rate
        self.hop_length = self.sizes.hop_length
        self.codebook_size = self.sizes.codebook_size
        self.books = books_of(config, self.sizes.num_codebooks, books)
        self.decoding = windowed(self.sizes.context_frames, indexed=True)

    def tensor_shapes(self) -> Shapes:
        s = self.sizes
        shapes = {
            "encoder.narrow.bank": (s.narrow_bands, s.narrow_n_fft // 2 + 1),
            "encoder.brief.bank": (s.brief_bands, s.brief_n_fft // 2 + 1),
            **linear_shapes("encoder.projection", s.codebook_dim, s.features),
            "quantizer.codebooks": (s.num_codebooks, s.codebook_size, s.codebook_dim),
            "decoder.conv_in.weight": (s.decoder_hidden_size, s.codebook_dim, s.input_kernel_size),
            "decoder.conv_in.bias": (s.decoder_hidden_size,),
            **norm_shapes("decoder.upsample_norm", s.decoder_hidden_size),
            **linear_shapes("decoder.upsample", s.tonal_factor * s.fine_hidden_size, s.decoder_hidden_size),
            **norm_shapes("decoder.norm", s.fine_hidden_size),
            **linear_shapes("decoder.head", s.outputs, s.fine_hidden_size),
            **linear_shapes("decoder.expansion", s.tonal_factor * s.outputs, s.codebook_dim),
            "decoder.noise_table": (s.noise_period * s.noise_factor, 2 * s.noise_bins),
        }
        if s.encoder_layers:
            shapes |= linear_shapes("encoder.enter", s.encoder_hidden_size, s.features)
            shapes |= linear_shapes("encoder.leave", s.codebook_dim, s.encoder_hidden_size)
        for prefix, layers, size in (
            ("encoder.blocks.", s.encoder_layers, s.encoder_hidden_size),
            ("decoder.blocks.", s.decoder_layers, s.decoder_hidden_size),
            ("decoder.fine_blocks.", s.fine_layers, s.fine_hidden_size),
        ):
            for i in range(layers):
                shapes |= within(f"{prefix}{i}.", convnext_shapes(size, s.expansion, s.kernel_size))
        return within(self.prefix, shapes)

    def unused_tensors(self) -> list[str]:
        return []

    def build_encoder(self, path: Path, storage: Storage, tensors) -> None:
        """input_values [B, 1, samples] → audio_codes [B, books, F]."""
        s = self.sizes
        weights = Prefixed(tensors, self.prefix)
        encoder = weights.within("encoder.")
        graph = GraphBuilder(path, storage)
        waveform = graph.input("input_values", FLOAT, ["batch", 1, "samples"])
        narrow = self._energies(graph, waveform, encoder, "narrow", s.narrow_n_fft, s.hop_length)
        brief = self._energies(graph, waveform, encoder, "brief", s.brief_n_fft, s.hop_length // s.brief_factor)
        brief = graph.op("Reshape", brief, graph.constant([0, -1, s.brief_factor * s.brief_bands]))
        energies = graph.op("Concat", narrow, brief, axis=2)
        x = _linear(graph, energies, encoder, "projection")
        if s.encoder_layers:
            x = graph.add(x, self._correction(graph, energies, encoder))
        codes = residual_vector_quantizer.encode(graph, x, self._codebooks(weights))
        graph.output("audio_codes", INT64, ["batch", self.books, "frames"], codes)
        graph.save()

    def build_decoder(self, path: Path, storage: Storage, tensors) -> None:
        """audio_codes [B, books, F] and first_frame [1] → audio_values [B, 1, samples]."""
        s = self.sizes
        weights = Prefixed(tensors, self.prefix)
        decoder = weights.within("decoder.")
        graph = GraphBuilder(path, storage)
        codes = graph.input("audio_codes", INT64, ["batch", self.books, "frames"])
        first_frame = graph.input("first_frame", INT64, [1])
        latents = residual_vector_quantizer.decode(graph, codes, self._codebooks(weights))
        x = graph.conv(latents, decoder["conv_in.weight"], decoder["conv_in.bias"], padding=s.input_kernel_size // 2)
        x = self._blocks(graph, x, decoder, "blocks", s.decoder_layers, s.decoder_hidden_size)
        x = layer_norm(graph, graph.transpose(x, [0, 2, 1]), decoder, "upsample_norm")
        x = _linear(graph, x, decoder, "upsample")
        x = graph.op("Reshape", x, graph.constant([0, -1, s.fine_hidden_size]))
        x = graph.transpose(x, [0, 2, 1])
        x = self._blocks(graph, x, decoder, "fine_blocks", s.fine_layers, s.fine_hidden_size)
        x = layer_norm(graph, graph.transpose(x, [0, 2, 1]), decoder, "norm")
        x = _linear(graph, x, decoder, "head")
        coded = _linear(graph, graph.transpose(latents, [0, 2, 1]), decoder, "expansion")
        x = graph.add(x, graph.op("Reshape", coded, graph.constant([0, -1, s.outputs])))
        sizes = graph.constant([s.tonal_bins, s.tonal_bins, s.noise_split * s.noise_bins])
        log_magnitude, phase, log_noise = graph.op("Split", x, sizes, outputs=3, axis=-1)
        tonal = self._tones(graph, log_magnitude, phase, first_frame)
        noisy = self._shaped(graph, log_noise, first_frame, decoder)
        graph.output("audio_values", FLOAT, ["batch", 1, "samples"], graph.add(tonal, noisy))
        graph.save()

    def _energies(self, graph: GraphBuilder, waveform: str, encoder: Prefixed, name: str, n_fft: int, hop: int) -> str:
        """Computes log energies of mel bands, [B, frames, bands]."""
        with graph.scope(name):
            edge = (n_fft - hop) // 2
            spectrum = graph.op("Conv", waveform, graph.constant(dft_basis(n_fft)), strides=[hop], pads=[edge, edge])
            real, imaginary = graph.op("Split", spectrum, outputs=2, axis=1, num_outputs=2)
            power = graph.add(graph.op("Mul", real, real), graph.op("Mul", imaginary, imaginary))
            bank = graph.constant(np.ascontiguousarray(encoder[f"{name}.bank"][:].T))
            power = graph.op("MatMul", graph.transpose(power, [0, 2, 1]), bank)
            power = graph.add(power, graph.constant(float(self.sizes.log_floor) ** 2))
            return graph.op("Mul", graph.op("Log", power), graph.constant(0.5))

    def _correction(self, graph: GraphBuilder, energies: str, encoder: Prefixed) -> str:
        """Computes the ConvNeXt blocks' correction of the latents, [B, frames, dim]."""
        s = self.sizes
        x = graph.transpose(_linear(graph, energies, encoder, "enter"), [0, 2, 1])
        x = self._blocks(graph, x, encoder, "blocks", s.encoder_layers, s.encoder_hidden_size)
        return _linear(graph, graph.transpose(x, [0, 2, 1]), encoder, "leave")

    def _codebooks(self, weights: Prefixed) -> list[np.ndarray]:
        return list(weights["quantizer.codebooks"][:][: self.books])

    def _blocks(self, graph: GraphBuilder, x: str, tensors: Prefixed, name: str, layers: int, size: int) -> str:
        for i in range(layers):
            with graph.scope(f"{name}.{i}"):
                x = convnext_block(graph, x, tensors.within(f"{name}.{i}."), size, self.sizes.kernel_size)
        return x

    def _tones(self, graph: GraphBuilder, log_magnitude: str, phase: str, first_frame: str) -> str:
        """Log magnitudes and phases relative to the carriers [B, tonal frames, bins] → [B, 1, samples]."""
        s = self.sizes
        with graph.scope("tones"):
            carriers = graph.constant(_carriers(s.tonal_n_fft, s.tonal_hop, s.carrier_period))
            phase = graph.add(phase, self._rows(graph, carriers, s.carrier_period, phase, first_frame, s.tonal_factor))
            magnitude = self._magnitude(graph, log_magnitude)
            real = graph.op("Mul", magnitude, graph.op("Cos", phase))
            imaginary = graph.op("Mul", magnitude, graph.op("Sin", phase))
            return self._inverse(graph, graph.op("Concat", real, imaginary, axis=-1), hann(s.tonal_n_fft), s.tonal_hop)

    def _shaped(self, graph: GraphBuilder, log_noise: str, first_frame: str, decoder: Prefixed) -> str:
        """Log magnitudes of the noise [B, tonal frames, noise frames · bins] → shaped noise [B, 1, samples]."""
        s = self.sizes
        with graph.scope("noise"):
            magnitude = graph.op("Reshape", self._magnitude(graph, log_noise), graph.constant([0, -1, s.noise_bins]))
            table = graph.constant(decoder["noise_table"][:].astype(np.int8))
            period = s.noise_period * s.noise_factor
            noise = self._rows(graph, table, period, magnitude, first_frame, s.noise_factor)
            noise = graph.op("Mul", graph.op("Cast", noise, to=FLOAT), graph.constant(float(s.noise_scale)))
            parts = graph.op("Mul", graph.op("Concat", magnitude, magnitude, axis=-1), noise)
            return self._inverse(graph, parts, sine(s.noise_n_fft), s.noise_hop)

    def _rows(self, graph: GraphBuilder, table: str, period: int, like: str, first_frame: str, factor: int) -> str:
        """Returns rows of a periodic table for the frames of `like` [B, frames, …], counted from the start of the clip."""
        count = graph.op("Gather", graph.op("Shape", like), graph.constant(1), axis=0)
        offsets = graph.op("Range", graph.constant(0), count, graph.constant(1))
        index = graph.add(graph.op("Mul", first_frame, graph.constant([factor])), offsets)
        return graph.op("Gather", table, graph.op("Mod", index, graph.constant([period])))

    def _magnitude(self, graph: GraphBuilder, logarithm: str) -> str:
        return graph.op("Exp", graph.op("Min", logarithm, graph.constant(float(self.sizes.max_log_magnitude))))

    def _inverse(self, graph: GraphBuilder, parts: str, window: np.ndarray, hop: int) -> str:
        """Real and imaginary parts [B, frames, 2 · bins] → the sum of the overlapping windows [B, 1, hop · frames]."""
        edge = (len(window) - hop) // 2
        basis = graph.constant(inverse_dft_basis(window, hop))
        return graph.op("ConvTranspose", graph.transpose(parts, [0, 2, 1]), basis, strides=[hop], pads=[edge, edge])


def _linear(graph: GraphBuilder, x: str, tensors: Prefixed, name: str) -> str:
    return graph.linear(x, tensors[name + ".weight"], tensors[name + ".bias"], name=name, quantize=False)


def _carriers(n_fft: int, hop: int, period: int) -> np.ndarray:
    """Returns phases, at the start of each frame, of tones with phase 0 at the middle of frame 0, [period, bins]."""
    samples = np.arange(period) * hop - n_fft // 2
    return (2 * np.pi * (samples[:, None] * np.arange(n_fft // 2 + 1) % n_fft) / n_fft).astype(np.float32)
