"""The spectral codec of `export/train` as graphs: STFT log magnitudes, residual quantizer, ConvNeXt blocks, inverse STFT.

The decoder writes a tonal part (magnitude and phase of every bin) and a noise part (magnitude of complex
Gaussian noise). The noise lies in a table that is read by absolute frame number, hence `first_frame`.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from . import residual_vector_quantizer
from .config import Config
from .errors import ExportError
from .graph import FLOAT, INT64, GraphBuilder, Storage
from .tensors import Prefixed

PREFIX = "multimodal_io_dict.discrete_audio.codec_model."


@dataclass(frozen=True)
class Sizes:
    """The numbers of the codec's config, by their names there."""

    sampling_rate: int
    hop_length: int
    fine_factor: int
    num_codebooks: int
    codebook_size: int
    codebook_dim: int
    n_fft: int
    decoder_hidden_size: int
    decoder_layers: int
    fine_hidden_size: int
    fine_layers: int
    expansion: int
    kernel_size: int
    input_kernel_size: int
    log_floor: float
    max_log_magnitude: float
    noise_period: int
    noise_scale: float

    @classmethod
    def from_config(cls, config: Config) -> "Sizes":
        sizes = cls(**{field.name: config.get(field.name) for field in fields(cls)})
        if sizes.hop_length % sizes.fine_factor:
            raise ExportError(f"{config.source}: fine_factor must divide hop_length")
        if sizes.kernel_size % 2 == 0 or sizes.input_kernel_size % 2 == 0:
            raise ExportError(f"{config.source}: kernels must have odd sizes")
        if sizes.n_fft % 2 or sizes.fine_hop % 2 or sizes.n_fft < sizes.fine_hop:
            raise ExportError(f"{config.source}: n_fft and the fine hop must be even, n_fft the larger")
        return sizes

    @property
    def fine_hop(self) -> int:
        return self.hop_length // self.fine_factor

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def edge(self) -> int:
        """Samples by which the window of a fine frame sticks out on each side."""
        return (self.n_fft - self.fine_hop) // 2

    @property
    def context_frames(self) -> int:
        half = self.kernel_size // 2
        overlap = math.ceil(self.edge / self.fine_hop)
        fine = self.fine_layers * half + overlap
        return self.input_kernel_size // 2 + self.decoder_layers * half + math.ceil(fine / self.fine_factor)


class SpectralCodec:
    """See `codec.Codec` for what is asked of it."""

    kind = "ualm_spectral"
    indexed = True

    def __init__(self, config: Config):
        self.sizes = Sizes.from_config(config)
        self.sampling_rate = self.sizes.sampling_rate
        self.hop_length = self.sizes.hop_length
        self.codebook_size = self.sizes.codebook_size
        self.quantizers = self.sizes.num_codebooks
        self.context_frames = self.sizes.context_frames

    def tensor_shapes(self, streams: int) -> dict[str, tuple[int, ...]]:
        s = self.sizes
        shapes = {
            "encoder.projection.weight": (s.codebook_dim, s.bins, s.fine_factor),
            "encoder.projection.bias": (s.codebook_dim,),
            "quantizer.codebooks": (s.num_codebooks, s.codebook_size, s.codebook_dim),
            "decoder.conv_in.weight": (s.decoder_hidden_size, s.codebook_dim, s.input_kernel_size),
            "decoder.conv_in.bias": (s.decoder_hidden_size,),
            **_norm_shapes("decoder.upsample_norm", s.decoder_hidden_size),
            **_linear_shapes("decoder.upsample", s.fine_factor * s.fine_hidden_size, s.decoder_hidden_size),
            **_norm_shapes("decoder.norm", s.fine_hidden_size),
            **_linear_shapes("decoder.head", 3 * s.bins, s.fine_hidden_size),
            **_linear_shapes("decoder.expansion", s.fine_factor * s.bins, s.codebook_dim),
            "decoder.noise_table": (s.noise_period * s.fine_factor, 2 * s.bins),
        }
        for prefix, layers, size in (
            ("decoder.blocks.", s.decoder_layers, s.decoder_hidden_size),
            ("decoder.fine_blocks.", s.fine_layers, s.fine_hidden_size),
        ):
            for i in range(layers):
                shapes |= self._block_shapes(f"{prefix}{i}.", size)
        return {PREFIX + name: shape for name, shape in shapes.items()}

    def _block_shapes(self, prefix: str, size: int) -> dict[str, tuple[int, ...]]:
        wide = self.sizes.expansion * size
        return {
            prefix + "depthwise.weight": (size, 1, self.sizes.kernel_size),
            prefix + "depthwise.bias": (size,),
            **_norm_shapes(prefix + "norm", size),
            **_linear_shapes(prefix + "up", wide, size),
            **_linear_shapes(prefix + "down", size, wide),
            prefix + "scale": (size,),
        }

    def unused_tensors(self, streams: int) -> list[str]:
        return []

    def build_encoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """input_values [B, 1, samples] → audio_codes [B, S, F]."""
        s, weights = self.sizes, Prefixed(tensors, PREFIX)
        encoder = weights.within("encoder.")
        graph = GraphBuilder(path, storage)
        waveform = graph.input("input_values", FLOAT, ["batch", 1, "samples"])
        spectrum = graph.op(
            "Conv", waveform, graph.constant(_dft_basis(s.n_fft)), strides=[s.fine_hop], pads=[s.edge, s.edge]
        )
        real, imaginary = graph.op("Split", spectrum, outputs=2, axis=1, num_outputs=2)
        power = graph.add(graph.op("Mul", real, real), graph.op("Mul", imaginary, imaginary))
        power = graph.add(power, graph.constant(float(s.log_floor) ** 2))
        log_magnitudes = graph.op("Mul", graph.op("Log", power), graph.constant(0.5))
        projection = encoder.within("projection.")
        x = graph.conv(log_magnitudes, projection["weight"], projection["bias"], stride=s.fine_factor)
        x = graph.transpose(x, [0, 2, 1])
        codes = residual_vector_quantizer.encode(graph, x, self._codebooks(weights, streams))
        graph.output("audio_codes", INT64, ["batch", streams, "frames"], codes)
        graph.save()

    def build_decoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """audio_codes [B, S, F] and first_frame [1] → audio_values [B, 1, samples]."""
        s, weights = self.sizes, Prefixed(tensors, PREFIX)
        decoder = weights.within("decoder.")
        graph = GraphBuilder(path, storage)
        codes = graph.input("audio_codes", INT64, ["batch", streams, "frames"])
        first_frame = graph.input("first_frame", INT64, [1])
        latents = residual_vector_quantizer.decode(graph, codes, self._codebooks(weights, streams))
        x = graph.conv(latents, decoder["conv_in.weight"], decoder["conv_in.bias"], padding=s.input_kernel_size // 2)
        x = self._blocks(graph, x, decoder, "blocks", s.decoder_layers, s.decoder_hidden_size)
        x = _normed(graph, graph.transpose(x, [0, 2, 1]), decoder, "upsample_norm")
        x = _linear(graph, x, decoder, "upsample")
        x = graph.op("Reshape", x, graph.constant([0, -1, s.fine_hidden_size]))
        x = graph.transpose(x, [0, 2, 1])
        x = self._blocks(graph, x, decoder, "fine_blocks", s.fine_layers, s.fine_hidden_size)
        x = _normed(graph, graph.transpose(x, [0, 2, 1]), decoder, "norm")
        x = _linear(graph, x, decoder, "head")
        coded = _linear(graph, graph.transpose(latents, [0, 2, 1]), decoder, "expansion")
        coded = graph.op("Reshape", coded, graph.constant([0, -1, s.bins]))
        noise = self._noise(graph, x, first_frame, decoder)
        graph.output("audio_values", FLOAT, ["batch", 1, "samples"], self._synthesize(graph, x, coded, noise))
        graph.save()

    def _codebooks(self, weights: Prefixed, streams: int) -> list[np.ndarray]:
        return list(weights["quantizer.codebooks"][:][:streams])

    def _blocks(self, graph: GraphBuilder, x: str, tensors: Prefixed, name: str, layers: int, size: int) -> str:
        """ConvNeXt blocks over [B, size, frames]; each block's `scale` is folded into its last layer."""
        for i in range(layers):
            with graph.scope(f"{name}.{i}"):
                block = tensors.within(f"{name}.{i}.")
                y = graph.conv(
                    x, block["depthwise.weight"], block["depthwise.bias"],
                    padding=self.sizes.kernel_size // 2, groups=size,
                )  # fmt: skip
                y = _normed(graph, graph.transpose(y, [0, 2, 1]), block, "norm")
                y = graph.gelu(_linear(graph, y, block, "up"))
                scale = block["scale"][:]
                weight, bias = block["down.weight"][:] * scale[:, None], block["down.bias"][:] * scale
                y = graph.linear(y, weight, bias, name="down", quantize=False)
                x = graph.add(x, graph.transpose(y, [0, 2, 1]))
        return x

    def _noise(self, graph: GraphBuilder, spectrum: str, first_frame: str, decoder: Prefixed) -> str:
        """Complex Gaussian noise [fine frames, 2 · bins] from the table."""
        s = self.sizes
        with graph.scope("noise"):
            table = graph.constant(decoder["noise_table"][:].astype(np.int8))
            count = graph.op("Gather", graph.op("Shape", spectrum), graph.constant(1), axis=0)
            offsets = graph.op("Range", graph.constant(0), count, graph.constant(1))
            first = graph.op("Mul", first_frame, graph.constant([s.fine_factor]))
            index = graph.op("Mod", graph.add(first, offsets), graph.constant([s.noise_period * s.fine_factor]))
            noise = graph.op("Cast", graph.op("Gather", table, index), to=FLOAT)
            return graph.op("Mul", noise, graph.constant(float(s.noise_scale)))

    def _synthesize(self, graph: GraphBuilder, spectrum: str, coded: str, noise: str) -> str:
        """Log magnitude, phase and log noise magnitude [B, fine frames, 3 · bins] → [B, 1, samples].

        The two magnitudes are relative to what the codes say by themselves, `coded` [B, fine frames, bins].
        """
        s = self.sizes
        with graph.scope("synthesis"):
            limit = graph.constant(float(s.max_log_magnitude))
            log_magnitude, phase, log_noise = graph.op("Split", spectrum, outputs=3, axis=-1, num_outputs=3)
            magnitude, noise_magnitude = (
                graph.op("Exp", graph.op("Min", graph.add(coded, value), limit)) for value in (log_magnitude, log_noise)
            )
            real = graph.op("Mul", magnitude, graph.op("Cos", phase))
            imaginary = graph.op("Mul", magnitude, graph.op("Sin", phase))
            tonal = graph.op("Concat", real, imaginary, axis=-1)
            noisy = graph.op("Mul", graph.op("Concat", noise_magnitude, noise_magnitude, axis=-1), noise)
            frames = graph.transpose(graph.add(tonal, noisy), [0, 2, 1])
            basis = graph.constant(_inverse_dft_basis(s.n_fft, s.fine_hop))
            return graph.op("ConvTranspose", frames, basis, strides=[s.fine_hop], pads=[s.edge, s.edge])


def _linear(graph: GraphBuilder, x: str, tensors: Prefixed, name: str) -> str:
    return graph.linear(x, tensors[name + ".weight"], tensors[name + ".bias"], name=name, quantize=False)


def _normed(graph: GraphBuilder, x: str, tensors: Prefixed, name: str) -> str:
    return graph.layer_norm(x, tensors[name + ".weight"], tensors[name + ".bias"])


def _linear_shapes(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _hann(n_fft: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def _angles(n_fft: int) -> np.ndarray:
    return 2 * np.pi * np.arange(n_fft // 2 + 1)[:, None] * np.arange(n_fft) / n_fft


def _dft_basis(n_fft: int) -> np.ndarray:
    """Windowed DFT as convolution kernels [2 · bins, 1, n_fft]: real parts, then imaginary parts."""
    basis = np.concatenate([np.cos(_angles(n_fft)), -np.sin(_angles(n_fft))]) * _hann(n_fft)
    return basis[:, None].astype(np.float32)


def _inverse_dft_basis(n_fft: int, hop: int) -> np.ndarray:
    """Inverse DFT, window and division by the window sum as kernels [2 · bins, 1, n_fft]."""
    weights = np.full((n_fft // 2 + 1, 1), 2.0)
    weights[0] = weights[-1] = 1.0
    basis = np.concatenate([weights * np.cos(_angles(n_fft)), -weights * np.sin(_angles(n_fft))]) / n_fft
    window = _hann(n_fft)
    return (basis * window / (np.square(window).sum() / hop))[:, None].astype(np.float32)
