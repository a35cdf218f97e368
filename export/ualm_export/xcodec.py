"""X-codec as graphs: a DAC-like acoustic branch and a HuBERT semantic branch around one residual quantizer."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import residual_vector_quantizer
from .config import Config
from .errors import ExportError
from .graph import FLOAT, INT64, GraphBuilder, Storage
from .hubert import Hubert, mean_hidden_state
from .tensors import Prefixed

PREFIX = "multimodal_io_dict.discrete_audio.codec_model."
_DILATIONS = (1, 3, 9)
_UNIT_KERNEL = 7


@dataclass(frozen=True)
class AcousticModel:
    """The DAC encoder and decoder."""

    encoder_width: int
    decoder_width: int
    downsampling: tuple[int, ...]
    upsampling: tuple[int, ...]
    hidden_size: int

    @classmethod
    def from_config(cls, config: Config) -> "AcousticModel":
        """Reads a DacConfig; what it leaves out is as in the published X-codec."""
        config.require("model_type", ["dac"], default="dac")
        return cls(
            encoder_width=config.get("encoder_hidden_size", default=64),
            decoder_width=config.get("decoder_hidden_size", default=1024),
            downsampling=tuple(config.get("downsampling_ratios", default=[8, 5, 4, 2])),
            upsampling=tuple(config.get("upsampling_ratios", default=[8, 5, 4, 2])),
            hidden_size=config.get("hidden_size", default=256),
        )

    def frames(self, samples: int) -> int:
        for stride in self.downsampling:
            samples = (samples + 2 * math.ceil(stride / 2) - 2 * stride) // stride + 1
        return samples

    def decoder_channels(self, block: int) -> int:
        """Channels that go into a decoder block, or, past the last block, come out of it."""
        return self.decoder_width // 2**block

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = _conv_shapes("acoustic_encoder.conv1", self.encoder_width, 1, 7)
        width = self.encoder_width
        for i, stride in enumerate(self.downsampling):
            prefix = f"acoustic_encoder.block.{i}."
            shapes |= _residual_unit_shapes(prefix, width) | {prefix + "snake1.alpha": (1, width, 1)}
            shapes |= _conv_shapes(prefix + "conv1", 2 * width, width, 2 * stride)
            width *= 2
        shapes |= {"acoustic_encoder.snake1.alpha": (1, width, 1)}
        shapes |= _conv_shapes("acoustic_encoder.conv2", self.hidden_size, width, 3)

        shapes |= _conv_shapes("acoustic_decoder.conv1", self.decoder_width, self.hidden_size, 7)
        for i, stride in enumerate(self.upsampling):
            prefix, before, after = (
                f"acoustic_decoder.block.{i}.",
                self.decoder_channels(i),
                self.decoder_channels(i + 1),
            )
            shapes |= {prefix + "snake1.alpha": (1, before, 1)} | _residual_unit_shapes(prefix, after)
            shapes |= {prefix + "conv_t1.weight": (before, after, 2 * stride), prefix + "conv_t1.bias": (after,)}
        width = self.decoder_channels(len(self.upsampling))
        shapes |= {"acoustic_decoder.snake1.alpha": (1, width, 1)}
        return shapes | _conv_shapes("acoustic_decoder.conv2", 1, width, 7)


@dataclass(frozen=True)
class SemanticEncoder:
    """The convolutions after HuBERT."""

    width: int
    channels: tuple[int, ...]
    """Channels after each block."""
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    kernel: int
    unit_kernel: int

    @classmethod
    def from_config(cls, config: Config, width: int) -> "SemanticEncoder":
        ratios = config.get("channel_ratios", default=[1, 1])
        strides = config.get("strides", default=[1, 1])
        if len(ratios) != len(strides):
            raise ExportError(
                f"{config.source}: {len(strides)} strides and {len(ratios)} channel_ratios; expected as many"
            )
        for name, default in (("kernel_size", 3), ("unit_kernel_size", 3)):
            if config.get(name, default=default) % 2 == 0:
                raise ExportError(f"{config.source}: {name} is even; implemented are odd kernels")
        return cls(
            width=width,
            channels=tuple(int(width * ratio) for ratio in ratios),
            strides=tuple(strides),
            dilations=tuple(config.get("block_dilations", default=[1, 1])),
            kernel=config.get("kernel_size", default=3),
            unit_kernel=config.get("unit_kernel_size", default=3),
        )

    @staticmethod
    def block_kernel(stride: int) -> int:
        return 3 if stride == 1 else 2 * stride

    def frames(self, frames: int) -> int:
        for stride in self.strides:
            kernel = self.block_kernel(stride)
            frames = (frames + 2 * ((kernel - 1) // 2) - kernel) // stride + 1
        return frames

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes, before = {"conv.weight": (self.width, self.width, self.kernel)}, self.width
        for i, (after, stride) in enumerate(zip(self.channels, self.strides)):
            for unit in range(len(self.dilations)):
                prefix = f"conv_blocks.{i}.res_units.{unit}."
                shapes[prefix + "conv1.weight"] = (before, before, self.unit_kernel)
                shapes[prefix + "conv2.weight"] = (before, before, 1)
            shapes |= _conv_shapes(f"conv_blocks.{i}.conv", after, before, self.block_kernel(stride))
            before = after
        return {"encoder_semantic." + name: shape for name, shape in shapes.items()}


class XCodec:
    """See `codec.Codec` for what is asked of it."""

    kind = "xcodec"
    indexed = False

    def __init__(self, config: Config):
        self.acoustic = AcousticModel.from_config(config.section("acoustic_model_config", default={}))
        self.hubert = Hubert.from_config(config.section("semantic_model_config", default={}))
        self.semantic = SemanticEncoder.from_config(config, self.hubert.hidden_size)
        self.sampling_rate = config.get("sample_rate", "sampling_rate", default=16000)
        self.hop_length = math.prod(self.acoustic.downsampling)
        self.codebook_size = config.get("codebook_size", default=1024)
        bandwidths = config.get("target_bandwidths", default=[0.5, 1, 1.5, 2, 4])
        frame_rate = math.ceil(self.sampling_rate / self.hop_length)
        self.quantizers = int(1000 * bandwidths[-1] // (frame_rate * math.ceil(math.log2(self.codebook_size))))
        self.dimension = self.acoustic.hidden_size + self.hubert.hidden_size
        self._check(config)
        self.context_frames = _context_frames(self.acoustic)
        self._pad_acoustic = self._acoustic_needs_padding(config)

    def _check(self, config: Config) -> None:
        dimension = config.get("codebook_dim", default=self.dimension)
        if dimension != self.dimension:
            raise ExportError(
                f"{config.source}: codebook_dim is {dimension}; implemented is acoustic plus semantic hidden size, "
                f"{self.dimension}"
            )
        if math.prod(self.acoustic.upsampling) != self.hop_length:
            raise ExportError(
                f"{config.source}: upsampling_ratios {list(self.acoustic.upsampling)} and downsampling_ratios "
                f"{list(self.acoustic.downsampling)} have different products"
            )
        if self.semantic.channels[-1:] not in ((), (self.hubert.hidden_size,)):
            raise ExportError(
                f"{config.source}: the last of channel_ratios must be 1, or the two branches do not fill codebook_dim"
            )

    def _acoustic_needs_padding(self, config: Config) -> bool:
        """Whether the acoustic branch, as the model does when lengths differ, gets half a hop on each side."""
        half = self.hop_length // 2
        plain, padded = True, True
        for frames in range(4, 200):
            samples = frames * self.hop_length
            semantic = self.semantic.frames(self.hubert.frames(samples + 2 * half))
            plain = plain and semantic == self.acoustic.frames(samples)
            padded = padded and semantic == self.acoustic.frames(samples + 2 * half)
        if not (plain or padded):
            raise ExportError(
                f"{config.source}: the acoustic strides {list(self.acoustic.downsampling)} and the semantic strides "
                f"{list(self.hubert.conv_strides)} × {list(self.semantic.strides)} give different numbers of frames"
            )
        return not plain

    def tensor_shapes(self, streams: int) -> dict[str, tuple[int, ...]]:
        semantic = {"semantic_model." + name: shape for name, shape in self.hubert.tensor_shapes().items()}
        shapes = self.acoustic.tensor_shapes() | semantic | self.semantic.tensor_shapes()
        shapes |= {"fc.weight": (self.dimension, self.dimension), "fc.bias": (self.dimension,)}
        shapes |= {"fc2.weight": (self.acoustic.hidden_size, self.dimension), "fc2.bias": (self.acoustic.hidden_size,)}
        for i in range(streams):
            shapes[_codebook_name(i)] = (self.codebook_size, self.dimension)
        return {PREFIX + name: shape for name, shape in shapes.items()}

    def unused_tensors(self, streams: int) -> list[str]:
        """The semantic decoder and the statistics of training; quantizers that no stream uses."""
        prefix = PREFIX.replace(".", r"\.")
        unused = [
            r"fc1\..*",
            r"decoder_semantic\..*",
            r"quantizer\.quantizers\.\d+\.codebook\.(?:inited|cluster_size|embed_avg)",
            r"semantic_model\.masked_spec_embed",
            r".*\.num_batches_tracked",
        ]
        unused += [rf"quantizer\.quantizers\.{i}\..*" for i in range(streams, self.quantizers)]
        return [prefix + pattern for pattern in unused]

    def build_encoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """input_values [B, 1, samples] → audio_codes [B, S, F]."""
        weights = Prefixed(tensors, PREFIX)
        half = self.hop_length // 2
        graph = GraphBuilder(path, storage)
        waveform = graph.input("input_values", FLOAT, ["batch", 1, "samples"])
        padded = graph.op("Pad", waveform, graph.constant([0, 0, half, 0, 0, half]))
        acoustic = _encode_acoustic(
            graph, self.acoustic, padded if self._pad_acoustic else waveform, weights.within("acoustic_encoder.")
        )
        hidden = mean_hidden_state(graph, self.hubert, padded, weights.within("semantic_model."))
        semantic = _encode_semantic(graph, self.semantic, hidden, weights.within("encoder_semantic."))
        x = graph.transpose(graph.op("Concat", acoustic, semantic, axis=1), [0, 2, 1])
        x = graph.linear(x, weights["fc.weight"], weights["fc.bias"], name="fc")
        codebooks = [weights[_codebook_name(i)] for i in range(streams)]
        codes = residual_vector_quantizer.encode(graph, x, codebooks)
        graph.output("audio_codes", INT64, ["batch", streams, "frames"], codes)
        graph.save()

    def build_decoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """audio_codes [B, S, F] → audio_values [B, 1, samples]; `fc2` is folded into the codebooks."""
        weights = Prefixed(tensors, PREFIX)
        projection = weights["fc2.weight"][:].astype(np.float64)
        codebooks = [weights[_codebook_name(i)][:] @ projection.T for i in range(streams)]
        codebooks[0] = codebooks[0] + weights["fc2.bias"][:]
        graph = GraphBuilder(path, storage)
        codes = graph.input("audio_codes", INT64, ["batch", streams, "frames"])
        x = residual_vector_quantizer.decode(graph, codes, [table.astype(np.float32) for table in codebooks])
        x = _decode_acoustic(graph, self.acoustic, x, weights.within("acoustic_decoder."))
        graph.output("audio_values", FLOAT, ["batch", 1, "samples"], x)
        graph.save()


def _codebook_name(level: int) -> str:
    return f"quantizer.quantizers.{level}.codebook.embed"


def _conv_shapes(name: str, out: int, into: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into, kernel), f"{name}.bias": (out,)}


def _residual_unit_shapes(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for unit in range(1, len(_DILATIONS) + 1):
        for half, kernel in ((1, _UNIT_KERNEL), (2, 1)):
            shapes[f"{prefix}res_unit{unit}.snake{half}.alpha"] = (1, width, 1)
            shapes |= _conv_shapes(f"{prefix}res_unit{unit}.conv{half}", width, width, kernel)
    return shapes


def _encode_acoustic(graph: GraphBuilder, model: AcousticModel, x: str, tensors: Prefixed) -> str:
    """[B, 1, samples] → [B, hidden, F]."""
    x = graph.conv(x, tensors["conv1.weight"], tensors["conv1.bias"], padding=3)
    for i, stride in enumerate(model.downsampling):
        with graph.scope(f"acoustic_encoder.block.{i}"):
            block = tensors.within(f"block.{i}.")
            x = _snake(graph, _residual_units(graph, x, block), block["snake1.alpha"])
            x = graph.conv(x, block["conv1.weight"], block["conv1.bias"], stride=stride, padding=math.ceil(stride / 2))
    x = _snake(graph, x, tensors["snake1.alpha"])
    return graph.conv(x, tensors["conv2.weight"], tensors["conv2.bias"], padding=1)


def _decode_acoustic(graph: GraphBuilder, model: AcousticModel, x: str, tensors: Prefixed) -> str:
    """[B, hidden, F] → [B, 1, samples]. Unlike DAC, X-codec has no tanh at the end."""
    x = graph.conv(x, tensors["conv1.weight"], tensors["conv1.bias"], padding=3)
    for i, stride in enumerate(model.upsampling):
        with graph.scope(f"acoustic_decoder.block.{i}"):
            block = tensors.within(f"block.{i}.")
            x = graph.conv_transpose(
                _snake(graph, x, block["snake1.alpha"]), block["conv_t1.weight"], block["conv_t1.bias"],
                stride=stride, padding=math.ceil(stride / 2), output_padding=stride % 2,
            )  # fmt: skip
            x = _residual_units(graph, x, block)
    x = _snake(graph, x, tensors["snake1.alpha"])
    return graph.conv(x, tensors["conv2.weight"], tensors["conv2.bias"], padding=3)


def _residual_units(graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
    for unit, dilation in enumerate(_DILATIONS, 1):
        weights = tensors.within(f"res_unit{unit}.")
        h = _snake(graph, x, weights["snake1.alpha"])
        padding = (_UNIT_KERNEL - 1) * dilation // 2
        h = graph.conv(h, weights["conv1.weight"], weights["conv1.bias"], padding=padding, dilation=dilation)
        h = _snake(graph, h, weights["snake2.alpha"])
        x = graph.add(x, graph.conv(h, weights["conv2.weight"], weights["conv2.bias"]))
    return x


def _snake(graph: GraphBuilder, x: str, alpha) -> str:
    """x + sin²(αx) / (α + 1e-9)."""
    alpha = alpha[:]
    sine = graph.op("Sin", graph.op("Mul", x, graph.constant(alpha)))
    reciprocal = graph.constant((1.0 / (alpha + np.float32(1e-9))).astype(np.float32))
    return graph.add(x, graph.op("Mul", graph.op("Mul", sine, sine), reciprocal))


def _encode_semantic(graph: GraphBuilder, model: SemanticEncoder, hidden: str, tensors: Prefixed) -> str:
    """[B, frames, hidden] → [B, hidden, F]."""
    x = graph.conv(graph.transpose(hidden, [0, 2, 1]), tensors["conv.weight"], padding=model.kernel // 2)
    for i, stride in enumerate(model.strides):
        with graph.scope(f"encoder_semantic.conv_blocks.{i}"):
            block = tensors.within(f"conv_blocks.{i}.")
            for unit, dilation in enumerate(model.dilations):
                weights = block.within(f"res_units.{unit}.")
                padding = (model.unit_kernel - 1) // 2 * dilation
                h = graph.conv(graph.op("Elu", x), weights["conv1.weight"], padding=padding, dilation=dilation)
                x = graph.add(x, graph.conv(graph.op("Elu", h), weights["conv2.weight"]))
            padding = (model.block_kernel(stride) - 1) // 2
            x = graph.conv(x, block["conv.weight"], block["conv.bias"], stride=stride, padding=padding)
    return x


def _context_frames(model: AcousticModel) -> int:
    """How many frames away, at the most, a frame of the decoder's input still changes a frame of its output.

    Walks from the samples of frame 0 back to the frames that they depend on.
    """
    first, last = 0, math.prod(model.upsampling) - 1
    first, last = first - 3, last + 3
    for stride in reversed(model.upsampling):
        reach = sum((_UNIT_KERNEL - 1) * dilation // 2 for dilation in _DILATIONS)
        first, last = first - reach, last + reach
        padding = math.ceil(stride / 2)
        first, last = -((2 * stride - 1 - first - padding) // stride), (last + padding) // stride
    first, last = first - 3, last + 3
    return max(-first, last)
