"""X-codec as graphs: a DAC-like acoustic branch and a HuBERT semantic branch around one residual quantizer.

The names of its tensors are those of its published checkpoint, after a prefix.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..blocks import residual_vector_quantizer
from ..blocks.dac import Dac
from ..blocks.hubert import Hubert, mean_hidden_state
from ..blocks.shapes import Shapes, conv_shapes, linear_shapes, within
from ..config import Config
from ..errors import ExportError
from ..graph import FLOAT, INT64, GraphBuilder, Storage
from ..names import Names
from ..tensors import Prefixed
from . import books_of, windowed

_UNIT = "block.{}.res_unit{}."
_DAC = {
    "first": "conv1",
    "blocks.{}.units.{}.wide_snake": _UNIT + "snake1",
    "blocks.{}.units.{}.wide": _UNIT + "conv1",
    "blocks.{}.units.{}.point_snake": _UNIT + "snake2",
    "blocks.{}.units.{}.point": _UNIT + "conv2",
    "blocks.{}.snake": "block.{}.snake1",
    "snake": "snake1",
    "last": "conv2",
}
_ACOUSTIC_ENCODER = _DAC | {"blocks.{}.conv": "block.{}.conv1"}
_ACOUSTIC_DECODER = _DAC | {"blocks.{}.conv": "block.{}.conv_t1"}
_HUBERT_LAYER = "encoder.layers.{}."
_HUBERT = {
    "convs.{}": "feature_extractor.conv_layers.{}.conv",
    "convs.{}.norm": "feature_extractor.conv_layers.{}.layer_norm",
    "projection": "feature_projection.projection",
    "projection.norm": "feature_projection.layer_norm",
    "positions": "encoder.pos_conv_embed.conv",
    "positions.norm": "encoder.pos_conv_embed.batch_norm",
    "norm": "encoder.layer_norm",
    "layers.{}.attention.query": _HUBERT_LAYER + "attention.q_proj",
    "layers.{}.attention.key": _HUBERT_LAYER + "attention.k_proj",
    "layers.{}.attention.value": _HUBERT_LAYER + "attention.v_proj",
    "layers.{}.attention.output": _HUBERT_LAYER + "attention.out_proj",
    "layers.{}.attention_norm": _HUBERT_LAYER + "layer_norm",
    "layers.{}.mlp.up": _HUBERT_LAYER + "feed_forward.intermediate_dense",
    "layers.{}.mlp.down": _HUBERT_LAYER + "feed_forward.output_dense",
    "layers.{}.mlp_norm": _HUBERT_LAYER + "final_layer_norm",
}


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
        strides = config.sizes("strides", default=[1, 1])
        if len(ratios) != len(strides):
            raise ExportError(
                f"{config.source}: {len(strides)} strides and {len(ratios)} channel_ratios; expected as many"
            )
        for name, default in (("kernel_size", 3), ("unit_kernel_size", 3)):
            if config.get(name, default=default) % 2 == 0:
                raise ExportError(f"{config.source}: {name} is even; supported: odd kernels")
        return cls(
            width=width,
            channels=tuple(int(width * ratio) for ratio in ratios),
            strides=tuple(strides),
            dilations=tuple(config.sizes("block_dilations", default=[1, 1])),
            kernel=config.size("kernel_size", default=3),
            unit_kernel=config.size("unit_kernel_size", default=3),
        )

    @staticmethod
    def block_kernel(stride: int) -> int:
        return 3 if stride == 1 else 2 * stride

    def frames(self, frames: int) -> int:
        for stride in self.strides:
            kernel = self.block_kernel(stride)
            frames = (frames + 2 * ((kernel - 1) // 2) - kernel) // stride + 1
        return frames

    def shapes(self) -> Shapes:
        shapes = {"conv.weight": (self.width, self.width, self.kernel)}
        before = self.width
        for i, (after, stride) in enumerate(zip(self.channels, self.strides)):
            for unit in range(len(self.dilations)):
                prefix = f"conv_blocks.{i}.res_units.{unit}."
                shapes[prefix + "conv1.weight"] = (before, before, self.unit_kernel)
                shapes[prefix + "conv2.weight"] = (before, before, 1)
            shapes |= conv_shapes(f"conv_blocks.{i}.conv", after, before, self.block_kernel(stride))
            before = after
        return shapes

    def apply(self, graph: GraphBuilder, hidden: str, tensors: Prefixed) -> str:
        """[B, frames, hidden] → [B, hidden, F]."""
        x = graph.conv(graph.transpose(hidden, [0, 2, 1]), tensors["conv.weight"], padding=self.kernel // 2)
        for i, stride in enumerate(self.strides):
            with graph.scope(f"encoder_semantic.conv_blocks.{i}"):
                block = tensors.within(f"conv_blocks.{i}.")
                for unit, dilation in enumerate(self.dilations):
                    weights = block.within(f"res_units.{unit}.")
                    padding = (self.unit_kernel - 1) // 2 * dilation
                    h = graph.conv(graph.op("Elu", x), weights["conv1.weight"], padding=padding, dilation=dilation)
                    x = graph.add(x, graph.conv(graph.op("Elu", h), weights["conv2.weight"]))
                padding = (self.block_kernel(stride) - 1) // 2
                x = graph.conv(x, block["conv.weight"], block["conv.bias"], stride=stride, padding=padding)
        return x


class XCodec:
    """X-codec. A package without its encoder does not read the encoder's tensors. `Codec` documents the interface."""

    name = "xcodec"

    def __init__(self, config: Config, prefix: str, books: int | None = None, encodes: bool = True):
        self.prefix = prefix
        self.encodes = encodes
        self.acoustic = Dac.from_config(config.section("acoustic_model_config", default={}))
        self.hubert = Hubert.from_config(config.section("semantic_model_config", default={}))
        self.semantic = SemanticEncoder.from_config(config, self.hubert.hidden_size)
        self.sampling_rate = config.size("sample_rate", "sampling_rate", default=16000)
        self.hop_length = math.prod(self.acoustic.downsampling)
        self.codebook_size = config.size("codebook_size", default=1024)
        bandwidths = config.get("target_bandwidths", default=[0.5, 1, 1.5, 2, 4])
        frame_rate = math.ceil(self.sampling_rate / self.hop_length)
        self.quantizers = int(1000 * bandwidths[-1] // (frame_rate * math.ceil(math.log2(self.codebook_size))))
        self.books = books_of(config, self.quantizers, books)
        self.dimension = self.acoustic.hidden_size + self.hubert.hidden_size
        self._check(config)
        self.decoding = windowed(self.acoustic.context_frames(), indexed=False)
        self._pad_acoustic = self._acoustic_needs_padding(config)

    def _check(self, config: Config) -> None:
        dimension = config.size("codebook_dim", default=self.dimension)
        if dimension != self.dimension:
            raise ExportError(
                f"{config.source}: codebook_dim is {dimension}; supported: acoustic plus semantic hidden size, "
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
        """Checks whether the acoustic branch needs half a hop on each side, which the model adds when lengths differ."""
        half = self.hop_length // 2
        plain = True
        padded = True
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

    def _encoder_names(self) -> Names:
        return Names(f"{self.prefix}acoustic_encoder.", _ACOUSTIC_ENCODER)

    def _decoder_names(self) -> Names:
        return Names(f"{self.prefix}acoustic_decoder.", _ACOUSTIC_DECODER)

    def _hubert_names(self) -> Names:
        return Names(f"{self.prefix}semantic_model.", _HUBERT)

    def tensor_shapes(self) -> Shapes:
        shapes = self._encoder_tensor_shapes() if self.encodes else {}
        shapes |= self._decoder_names().shapes(self.acoustic.decoder_shapes())
        quantizer = linear_shapes("fc2", self.acoustic.hidden_size, self.dimension)
        quantizer |= {_codebook_name(level): (self.codebook_size, self.dimension) for level in range(self.books)}
        return shapes | within(self.prefix, quantizer)

    def _encoder_tensor_shapes(self) -> Shapes:
        """Returns the shapes of the tensors that the encoder alone needs."""
        shapes = within("encoder_semantic.", self.semantic.shapes())
        shapes |= linear_shapes("fc", self.dimension, self.dimension)
        return (
            self._encoder_names().shapes(self.acoustic.encoder_shapes())
            | self._hubert_names().shapes(self.hubert.shapes())
            | within(self.prefix, shapes)
        )

    def unused_tensors(self) -> list[str]:
        """Returns the semantic decoder, training statistics and unused quantizers, and the encoder if it is unused."""
        unused = [
            r"fc1\..*",
            r"decoder_semantic\..*",
            r"quantizer\.quantizers\.\d+\.codebook\.(?:inited|cluster_size|embed_avg)",
            r"semantic_model\.masked_spec_embed",
            r".*\.num_batches_tracked",
        ]
        if not self.encodes:
            unused += [r"acoustic_encoder\..*", r"encoder_semantic\..*", r"semantic_model\..*", r"fc\..*"]
        unused += [rf"quantizer\.quantizers\.{level}\..*" for level in range(self.books, self.quantizers)]
        return [re.escape(self.prefix) + pattern for pattern in unused]

    def build_encoder(self, path: Path, storage: Storage, tensors) -> None:
        """input_values [B, 1, samples] → audio_codes [B, books, F]."""
        weights = Prefixed(tensors, self.prefix)
        half = self.hop_length // 2
        graph = GraphBuilder(path, storage)
        waveform = graph.input("input_values", FLOAT, ["batch", 1, "samples"])
        padded = graph.op("Pad", waveform, graph.constant([0, 0, half, 0, 0, half]))
        heard = padded if self._pad_acoustic else waveform
        acoustic = self.acoustic.encode(graph, heard, self._encoder_names().roles(tensors))
        hidden = mean_hidden_state(graph, self.hubert, padded, self._hubert_names().roles(tensors))
        semantic = self.semantic.apply(graph, hidden, weights.within("encoder_semantic."))
        x = graph.transpose(graph.op("Concat", acoustic, semantic, axis=1), [0, 2, 1])
        x = graph.linear(x, weights["fc.weight"], weights["fc.bias"], name="fc")
        codebooks = [weights[_codebook_name(level)] for level in range(self.books)]
        codes = residual_vector_quantizer.encode(graph, x, codebooks)
        graph.output("audio_codes", INT64, ["batch", self.books, "frames"], codes)
        graph.save()

    def build_decoder(self, path: Path, storage: Storage, tensors) -> None:
        """audio_codes [B, books, F] → audio_values [B, 1, samples]; `fc2` is folded into the codebooks."""
        weights = Prefixed(tensors, self.prefix)
        projection = weights["fc2.weight"][:].astype(np.float64)
        codebooks = [weights[_codebook_name(level)][:] @ projection.T for level in range(self.books)]
        codebooks[0] = codebooks[0] + weights["fc2.bias"][:]
        graph = GraphBuilder(path, storage)
        codes = graph.input("audio_codes", INT64, ["batch", self.books, "frames"])
        x = residual_vector_quantizer.decode(graph, codes, [table.astype(np.float32) for table in codebooks])
        x = self.acoustic.decode(graph, x, self._decoder_names().roles(tensors))
        graph.output("audio_values", FLOAT, ["batch", 1, "samples"], x)
        graph.save()


def _codebook_name(level: int) -> str:
    return f"quantizer.quantizers.{level}.codebook.embed"
