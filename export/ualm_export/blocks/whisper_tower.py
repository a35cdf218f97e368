"""A transformer over log-mel chunks, like Whisper's encoder.

Two convolutions, added positions, pre-norm transformer layers, and the mean of each pair of positions.
"""

from dataclasses import dataclass

import numpy as np

from ..graph import FLOAT, GraphBuilder
from ..tensors import Prefixed
from .activation import LEAST
from .attention import attention_mask, self_attention, self_attention_shapes
from .norm import layer_norm
from .shapes import Shapes, conv_shapes, linear_shapes, norm_shapes, within


@dataclass(frozen=True)
class WhisperTower:
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    mel_bins: int
    chunk_frames: int
    masked: bool
    """True: positions past a chunk's end are masked. False: every position attends to every other, padding included."""
    learned_positions: bool
    """True: the positions are weights. False: they are sinusoids."""
    projected_size: int | None = None
    """Features after a last projection, if there is one."""

    @property
    def positions(self) -> int:
        """The positions of a chunk in the transformer: the second convolution halves the mel frames."""
        return self.chunk_frames // 2

    @property
    def output_size(self) -> int:
        return self.projected_size or self.hidden_size

    def shapes(self) -> Shapes:
        shapes = conv_shapes("conv1", self.hidden_size, self.mel_bins, 3)
        shapes |= conv_shapes("conv2", self.hidden_size, self.hidden_size, 3)
        for i in range(self.layers):
            shapes |= within(f"layers.{i}.", self._layer_shapes())
        if self.learned_positions:
            shapes |= {"positions.weight": (self.positions, self.hidden_size)}
        shapes |= norm_shapes("norm", self.hidden_size)
        if self.projected_size:
            shapes |= linear_shapes("projection", self.projected_size, self.hidden_size)
        return shapes

    def _layer_shapes(self) -> Shapes:
        hidden = self.hidden_size
        inner = self.intermediate_size
        return (
            self_attention_shapes("attention", hidden, key_bias=False)
            | norm_shapes("attention_norm", hidden)
            | linear_shapes("mlp.up", inner, hidden)
            | linear_shapes("mlp.down", hidden, inner)
            | norm_shapes("mlp_norm", hidden)
        )

    def apply(self, graph: GraphBuilder, mel: str, lengths: str, valid: str, tensors: Prefixed) -> str:
        """mel [C, mel bins, chunk frames] → [C, chunk frames / 4, output size].

        `lengths` mel frames of each chunk, and `valid` positions after the convolutions, hold signal.
        """
        x = graph.gelu(graph.conv(mel, tensors["conv1.weight"], tensors["conv1.bias"], padding=1))
        if self.masked:
            inside = graph.op("Cast", _before(graph, self.chunk_frames, lengths), to=FLOAT)
            x = graph.op("Mul", x, graph.op("Unsqueeze", inside, graph.constant([1])))
        x = graph.gelu(graph.conv(x, tensors["conv2.weight"], tensors["conv2.bias"], stride=2, padding=1))
        x = graph.transpose(x, [0, 2, 1])
        if self.learned_positions:
            x = graph.add(x, graph.weight(tensors["positions.weight"], "embed_positions"))
        else:
            x = graph.add(x, graph.constant(sinusoids(self.positions, self.hidden_size)))
        mask = attention_mask(graph, _before(graph, self.positions, valid), self.positions) if self.masked else ""
        for i in range(self.layers):
            with graph.scope(f"layers.{i}"):
                x = self._layer(graph, x, mask, tensors.within(f"layers.{i}."))

        x = graph.transpose(x, [0, 2, 1])
        x = graph.op("AveragePool", x, kernel_shape=[2], strides=[2])
        x = graph.transpose(x, [0, 2, 1])
        x = layer_norm(graph, x, tensors, "norm")
        if self.projected_size:
            x = graph.linear(x, tensors["projection.weight"], tensors["projection.bias"], name="proj")
        return x

    def _layer(self, graph: GraphBuilder, x: str, mask: str, tensors: Prefixed) -> str:
        """A pre-norm transformer layer; the key projection has no bias."""
        h = layer_norm(graph, x, tensors, "attention_norm")
        attention = tensors.within("attention.")
        x = graph.add(x, self_attention(graph, h, attention, self.heads, key_bias=False, mask=mask))
        h = layer_norm(graph, x, tensors, "mlp_norm")
        h = graph.gelu(graph.linear(h, tensors["mlp.up.weight"], tensors["mlp.up.bias"], name="fc1"))
        down = tensors["mlp.down.weight"]
        bias = tensors["mlp.down.bias"]
        return graph.add(x, graph.linear(h, down, bias, name="fc2", least=LEAST["gelu"]))


def sinusoids(positions: int, channels: int) -> np.ndarray:
    """Returns Whisper's position embedding [positions, channels]: sines, then cosines."""
    half = channels // 2
    frequencies = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half))
    angles = np.outer(np.arange(positions), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _before(graph: GraphBuilder, size: int, lengths: str) -> str:
    """Returns a boolean [C, size]: whether a position lies before the end of its chunk's signal."""
    positions = graph.constant(np.arange(size, dtype=np.int64)[None])
    return graph.op("Less", positions, graph.op("Unsqueeze", lengths, graph.constant([1])))
