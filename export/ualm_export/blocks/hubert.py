"""HuBERT: a waveform to the mean of all its hidden states."""

from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..errors import ExportError
from ..graph import GraphBuilder
from ..tensors import Prefixed
from .attention import self_attention, self_attention_shapes
from .norm import layer_norm
from .shapes import Shapes, linear_shapes, norm_shapes, within

_ACTIVATIONS = {"gelu": "Gelu", "relu": "Relu"}


@dataclass(frozen=True)
class Hubert:
    conv_channels: tuple[int, ...]
    conv_kernels: tuple[int, ...]
    conv_strides: tuple[int, ...]
    conv_bias: bool
    conv_norm: str
    """"group": a group norm after the first convolution; "layer": a layer norm after each."""
    projection_norm: bool
    conv_activation: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    activation: str
    epsilon: float
    position_kernel: int
    position_groups: int
    position_batch_norm: bool
    norm_first: bool

    @classmethod
    def from_config(cls, config: Config) -> "Hubert":
        """Reads a HubertConfig; absent fields have that class's defaults."""
        config.require("model_type", ["hubert"], default="hubert")
        config.require("feat_extract_norm", ["group", "layer"], default="group")
        for name in ("feat_extract_activation", "hidden_act"):
            config.require(name, list(_ACTIVATIONS), default="gelu")
        if config.get("adapter_attn_dim", default=None) is not None:
            raise ExportError(f"{config.source}: adapter_attn_dim is set; attention adapters are not supported")
        lengths = {len(config.get(name, default=[0] * 7)) for name in ("conv_dim", "conv_kernel", "conv_stride")}
        if len(lengths) > 1:
            raise ExportError(f"{config.source}: conv_dim, conv_kernel and conv_stride differ in length")
        return cls(
            conv_channels=tuple(config.get("conv_dim", default=[512] * 7)),
            conv_kernels=tuple(config.get("conv_kernel", default=[10, 3, 3, 3, 3, 2, 2])),
            conv_strides=tuple(config.get("conv_stride", default=[5, 2, 2, 2, 2, 2, 2])),
            conv_bias=config.get("conv_bias", default=False),
            conv_norm=config.get("feat_extract_norm", default="group"),
            projection_norm=config.get("feat_proj_layer_norm", default=True),
            conv_activation=_ACTIVATIONS[config.get("feat_extract_activation", default="gelu")],
            hidden_size=config.get("hidden_size", default=768),
            intermediate_size=config.get("intermediate_size", default=3072),
            num_hidden_layers=config.get("num_hidden_layers", default=12),
            num_attention_heads=config.get("num_attention_heads", default=12),
            activation=_ACTIVATIONS[config.get("hidden_act", default="gelu")],
            epsilon=config.get("layer_norm_eps", default=1e-5),
            position_kernel=config.get("num_conv_pos_embeddings", default=128),
            position_groups=config.get("num_conv_pos_embedding_groups", default=16),
            position_batch_norm=config.get("conv_pos_batch_norm", default=False),
            norm_first=config.get("do_stable_layer_norm", default=False),
        )

    def frames(self, samples: int) -> int:
        """Returns the number of frames of `samples` samples."""
        for kernel, stride in zip(self.conv_kernels, self.conv_strides):
            samples = (samples - kernel) // stride + 1
        return samples

    def _conv_is_normed(self, index: int) -> bool:
        return self.conv_norm == "layer" or index == 0

    def shapes(self) -> Shapes:
        hidden = self.hidden_size
        shapes = {}
        before = 1
        for i, (channels, kernel) in enumerate(zip(self.conv_channels, self.conv_kernels)):
            shapes[f"convs.{i}.weight"] = (channels, before, kernel)
            if self.conv_bias:
                shapes[f"convs.{i}.bias"] = (channels,)
            if self._conv_is_normed(i):
                shapes |= norm_shapes(f"convs.{i}.norm", channels)
            before = channels
        if self.projection_norm:
            shapes |= norm_shapes("projection.norm", before)
        shapes |= linear_shapes("projection", hidden, before)
        shapes["positions.weight"] = (hidden, hidden // self.position_groups, self.position_kernel)
        shapes["positions.bias"] = (hidden,)
        if self.position_batch_norm:
            shapes |= {f"positions.norm.{kind}": (hidden,) for kind in _BATCH_NORM}
        shapes |= norm_shapes("norm", hidden)
        for i in range(self.num_hidden_layers):
            shapes |= within(f"layers.{i}.", self._layer_shapes())
        return shapes

    def _layer_shapes(self) -> Shapes:
        hidden = self.hidden_size
        inner = self.intermediate_size
        return (
            self_attention_shapes("attention", hidden)
            | norm_shapes("attention_norm", hidden)
            | linear_shapes("mlp.up", inner, hidden)
            | linear_shapes("mlp.down", hidden, inner)
            | norm_shapes("mlp_norm", hidden)
        )


_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def mean_hidden_state(graph: GraphBuilder, hubert: Hubert, waveform: str, tensors: Prefixed) -> str:
    """waveform [B, 1, samples] → [B, frames, hidden]: the mean over the encoder's input and every layer's output."""
    x = _extract_features(graph, hubert, waveform, tensors)
    if hubert.projection_norm:
        x = layer_norm(graph, x, tensors, "projection.norm", hubert.epsilon)
    x = graph.linear(x, tensors["projection.weight"], tensors["projection.bias"], name="projection")

    x = graph.add(x, _position_embedding(graph, hubert, x, tensors))
    if not hubert.norm_first:
        x = layer_norm(graph, x, tensors, "norm", hubert.epsilon)
    states = [x]
    for i in range(hubert.num_hidden_layers):
        with graph.scope(f"semantic_model.layers.{i}"):
            x = _layer(graph, hubert, x, tensors.within(f"layers.{i}."))
        states.append(x)
    if hubert.norm_first:
        states[-1] = layer_norm(graph, x, tensors, "norm", hubert.epsilon)
    return graph.op("Mul", graph.op("Sum", *states), graph.constant(1.0 / len(states)))


def _extract_features(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """Adds the strided convolutions: [B, 1, samples] → [B, frames, channels]."""
    for i, stride in enumerate(hubert.conv_strides):
        bias = tensors[f"convs.{i}.bias"] if hubert.conv_bias else None
        x = graph.conv(x, tensors[f"convs.{i}.weight"], bias, stride=stride)
        if hubert._conv_is_normed(i):
            if hubert.conv_norm == "group":  # one group for each channel
                scale, shift = (graph.constant(tensors[f"convs.{i}.norm.{kind}"][:]) for kind in ("weight", "bias"))
                x = graph.op("InstanceNormalization", x, scale, shift, epsilon=1e-5)
            else:
                x = graph.transpose(x, [0, 2, 1])
                x = graph.transpose(layer_norm(graph, x, tensors, f"convs.{i}.norm"), [0, 2, 1])
        x = graph.op(hubert.conv_activation, x)
    return graph.transpose(x, [0, 2, 1])


def _position_embedding(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """A wide grouped convolution over x [B, frames, hidden] that keeps its length."""
    x = graph.transpose(x, [0, 2, 1])
    if hubert.position_batch_norm:
        norm = {kind: tensors[f"positions.norm.{kind}"][:] for kind in _BATCH_NORM}
        scale = norm["weight"] / np.sqrt(norm["running_var"].astype(np.float64) + 1e-5)
        shift = norm["bias"] - norm["running_mean"] * scale
        x = graph.op("Mul", x, graph.constant(scale.astype(np.float32)[None, :, None]))
        x = graph.add(x, graph.constant(shift.astype(np.float32)[None, :, None]))
    half = hubert.position_kernel // 2
    after = half - 1 if hubert.position_kernel % 2 == 0 else half  # the extra frame of an even kernel is dropped
    weight = tensors["positions.weight"]
    bias = tensors["positions.bias"]
    x = graph.conv(x, weight, bias, padding=(half, after), groups=hubert.position_groups)
    return graph.transpose(graph.op(hubert.conv_activation, x), [0, 2, 1])


def _layer(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """A transformer layer, with norms before ("stable") or after attention and feed-forward."""
    attention = tensors.within("attention.")
    heads = hubert.num_attention_heads
    if hubert.norm_first:
        h = layer_norm(graph, x, tensors, "attention_norm", hubert.epsilon)
        x = graph.add(x, self_attention(graph, h, attention, heads))
        h = layer_norm(graph, x, tensors, "mlp_norm", hubert.epsilon)
        return graph.add(x, _feed_forward(graph, hubert, h, tensors.within("mlp.")))
    x = graph.add(x, self_attention(graph, x, attention, heads))
    x = layer_norm(graph, x, tensors, "attention_norm", hubert.epsilon)
    x = graph.add(x, _feed_forward(graph, hubert, x, tensors.within("mlp.")))
    return layer_norm(graph, x, tensors, "mlp_norm", hubert.epsilon)


def _feed_forward(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    x = graph.linear(x, tensors["up.weight"], tensors["up.bias"], name="intermediate_dense")
    x = graph.op(hubert.activation, x)
    return graph.linear(x, tensors["down.weight"], tensors["down.bias"], name="output_dense")
