"""The convolutional encoder and decoder of DAC: waveform to frames of features, and back."""

import math
from dataclasses import dataclass

from ..config import Config
from ..graph import GraphBuilder
from ..tensors import Prefixed
from .conv import residual_unit, residual_unit_shapes
from .shapes import Shapes, conv_shapes
from .snake import snake

_DILATIONS = (1, 3, 9)
_UNIT_KERNEL = 7


@dataclass(frozen=True)
class Dac:
    encoder_width: int
    decoder_width: int
    downsampling: tuple[int, ...]
    upsampling: tuple[int, ...]
    hidden_size: int

    @classmethod
    def from_config(cls, config: Config) -> "Dac":
        """Reads a DacConfig; absent fields have the values of the published X-codec."""
        config.require("model_type", ["dac"], default="dac")
        return cls(
            encoder_width=config.size("encoder_hidden_size", default=64),
            decoder_width=config.size("decoder_hidden_size", default=1024),
            downsampling=tuple(config.sizes("downsampling_ratios", default=[8, 5, 4, 2])),
            upsampling=tuple(config.sizes("upsampling_ratios", default=[8, 5, 4, 2])),
            hidden_size=config.size("hidden_size", default=256),
        )

    def frames(self, samples: int) -> int:
        """Returns the number of frames of `samples` samples."""
        for stride in self.downsampling:
            samples = (samples + 2 * math.ceil(stride / 2) - 2 * stride) // stride + 1
        return samples

    def decoder_channels(self, block: int) -> int:
        """Returns the input channels of a decoder block, or, for the index after the last block, its output channels."""
        return self.decoder_width // 2**block

    def encoder_shapes(self) -> Shapes:
        shapes = conv_shapes("first", self.encoder_width, 1, 7)
        width = self.encoder_width
        for i, stride in enumerate(self.downsampling):
            shapes |= self._unit_shapes(f"blocks.{i}", width) | {f"blocks.{i}.snake.alpha": (1, width, 1)}
            shapes |= conv_shapes(f"blocks.{i}.conv", 2 * width, width, 2 * stride)
            width *= 2
        return shapes | {"snake.alpha": (1, width, 1)} | conv_shapes("last", self.hidden_size, width, 3)

    def decoder_shapes(self) -> Shapes:
        shapes = conv_shapes("first", self.decoder_width, self.hidden_size, 7)
        for i, stride in enumerate(self.upsampling):
            before = self.decoder_channels(i)
            after = self.decoder_channels(i + 1)
            shapes |= {f"blocks.{i}.snake.alpha": (1, before, 1)} | self._unit_shapes(f"blocks.{i}", after)
            shapes |= {f"blocks.{i}.conv.weight": (before, after, 2 * stride), f"blocks.{i}.conv.bias": (after,)}
        width = self.decoder_channels(len(self.upsampling))
        return shapes | {"snake.alpha": (1, width, 1)} | conv_shapes("last", 1, width, 7)

    def _unit_shapes(self, block: str, width: int) -> Shapes:
        shapes = {}
        for unit in range(1, len(_DILATIONS) + 1):
            shapes |= residual_unit_shapes(f"{block}.units.{unit}", width, _UNIT_KERNEL)
        return shapes

    def encode(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        """[B, 1, samples] → [B, hidden, F]."""
        x = graph.conv(x, tensors["first.weight"], tensors["first.bias"], padding=3)
        for i, stride in enumerate(self.downsampling):
            with graph.scope(f"acoustic_encoder.block.{i}"):
                block = tensors.within(f"blocks.{i}.")
                x = snake(graph, _residual_units(graph, x, block), block["snake.alpha"])
                padding = math.ceil(stride / 2)
                x = graph.conv(x, block["conv.weight"], block["conv.bias"], stride=stride, padding=padding)
        x = snake(graph, x, tensors["snake.alpha"])
        return graph.conv(x, tensors["last.weight"], tensors["last.bias"], padding=1)

    def decode(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        """[B, hidden, F] → [B, 1, samples], without DAC's final tanh."""
        x = graph.conv(x, tensors["first.weight"], tensors["first.bias"], padding=3)
        for i, stride in enumerate(self.upsampling):
            with graph.scope(f"acoustic_decoder.block.{i}"):
                block = tensors.within(f"blocks.{i}.")
                x = graph.conv_transpose(
                    snake(graph, x, block["snake.alpha"]), block["conv.weight"], block["conv.bias"],
                    stride=stride, padding=math.ceil(stride / 2), output_padding=stride % 2,
                )  # fmt: skip
                x = _residual_units(graph, x, block)
        x = snake(graph, x, tensors["snake.alpha"])
        return graph.conv(x, tensors["last.weight"], tensors["last.bias"], padding=3)

    def context_frames(self) -> int:
        """Returns the largest distance, in frames, at which an input frame of the decoder affects an output frame.

        Follows the samples of frame 0 back to the frames that they depend on.
        """
        first = 0
        last = math.prod(self.upsampling) - 1
        first = first - 3
        last = last + 3
        for stride in reversed(self.upsampling):
            reach = sum((_UNIT_KERNEL - 1) * dilation // 2 for dilation in _DILATIONS)
            first = first - reach
            last = last + reach
            padding = math.ceil(stride / 2)
            first = -((2 * stride - 1 - first - padding) // stride)
            last = (last + padding) // stride
        first = first - 3
        last = last + 3
        return max(-first, last)


def _residual_units(graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
    for unit, dilation in enumerate(_DILATIONS, 1):
        x = residual_unit(graph, x, tensors.within(f"units.{unit}."), _UNIT_KERNEL, dilation)
    return x
