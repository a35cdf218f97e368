"""HuBERT, the semantic branch of X-codec's encoder: waveform to the mean of all its hidden states."""

from dataclasses import dataclass

import numpy as np

from .config import Config
from .errors import ExportError
from .graph import CONTRIB, GraphBuilder
from .tensors import Prefixed

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
        """Reads a HubertConfig; what it leaves out has that class's defaults."""
        config.require("model_type", ["hubert"], default="hubert")
        config.require("feat_extract_norm", ["group", "layer"], default="group")
        for name in ("feat_extract_activation", "hidden_act"):
            config.require(name, list(_ACTIVATIONS), default="gelu")
        if config.get("adapter_attn_dim", default=None) is not None:
            raise ExportError(f"{config.source}: adapter_attn_dim is set; attention adapters are not implemented")
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
        """Frames for so many samples."""
        for kernel, stride in zip(self.conv_kernels, self.conv_strides):
            samples = (samples - kernel) // stride + 1
        return samples

    def _conv_is_normed(self, index: int) -> bool:
        return self.conv_norm == "layer" or index == 0

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        shapes, before = {}, 1
        for i, (channels, kernel) in enumerate(zip(self.conv_channels, self.conv_kernels)):
            prefix = f"feature_extractor.conv_layers.{i}."
            shapes[prefix + "conv.weight"] = (channels, before, kernel)
            if self.conv_bias:
                shapes[prefix + "conv.bias"] = (channels,)
            if self._conv_is_normed(i):
                shapes |= _norm_shapes(prefix + "layer_norm", channels)
            before = channels
        if self.projection_norm:
            shapes |= _norm_shapes("feature_projection.layer_norm", before)
        shapes |= _linear_shapes("feature_projection.projection", hidden, before)
        position = "encoder.pos_conv_embed."
        shapes[position + "conv.weight"] = (hidden, hidden // self.position_groups, self.position_kernel)
        shapes[position + "conv.bias"] = (hidden,)
        if self.position_batch_norm:
            shapes |= {
                f"{position}batch_norm.{name}": (hidden,) for name in ("weight", "bias", "running_mean", "running_var")
            }
        shapes |= _norm_shapes("encoder.layer_norm", hidden)
        for i in range(self.num_hidden_layers):
            prefix = f"encoder.layers.{i}."
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                shapes |= _linear_shapes(f"{prefix}attention.{name}", hidden, hidden)
            shapes |= _norm_shapes(prefix + "layer_norm", hidden)
            shapes |= _linear_shapes(prefix + "feed_forward.intermediate_dense", inner, hidden)
            shapes |= _linear_shapes(prefix + "feed_forward.output_dense", hidden, inner)
            shapes |= _norm_shapes(prefix + "final_layer_norm", hidden)
        return shapes


def _linear_shapes(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def mean_hidden_state(graph: GraphBuilder, hubert: Hubert, waveform: str, tensors: Prefixed) -> str:
    """waveform [B, 1, samples] → [B, frames, hidden]: the mean over the encoder's input and every layer's output."""
    x = _extract_features(graph, hubert, waveform, tensors.within("feature_extractor.conv_layers."))
    projection = tensors.within("feature_projection.")
    if hubert.projection_norm:
        x = graph.layer_norm(x, projection["layer_norm.weight"], projection["layer_norm.bias"], hubert.epsilon)
    x = graph.linear(x, projection["projection.weight"], projection["projection.bias"], name="projection")

    encoder = tensors.within("encoder.")
    norm = encoder["layer_norm.weight"], encoder["layer_norm.bias"], hubert.epsilon
    x = graph.add(x, _position_embedding(graph, hubert, x, encoder.within("pos_conv_embed.")))
    if not hubert.norm_first:
        x = graph.layer_norm(x, *norm)
    states = [x]
    for i in range(hubert.num_hidden_layers):
        with graph.scope(f"semantic_model.layers.{i}"):
            x = _layer(graph, hubert, x, encoder.within(f"layers.{i}."))
        states.append(x)
    if hubert.norm_first:
        states[-1] = graph.layer_norm(x, *norm)
    return graph.op("Mul", graph.op("Sum", *states), graph.constant(1.0 / len(states)))


def _extract_features(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """The strided convolutions: [B, 1, samples] → [B, frames, channels]."""
    for i, stride in enumerate(hubert.conv_strides):
        layer = tensors.within(f"{i}.")
        x = graph.conv(x, layer["conv.weight"], layer["conv.bias"] if hubert.conv_bias else None, stride=stride)
        if hubert._conv_is_normed(i):
            scale, shift = layer["layer_norm.weight"], layer["layer_norm.bias"]
            if hubert.conv_norm == "group":  # one group a channel
                x = graph.op(
                    "InstanceNormalization", x, graph.constant(scale[:]), graph.constant(shift[:]), epsilon=1e-5
                )
            else:
                x = graph.transpose(graph.layer_norm(graph.transpose(x, [0, 2, 1]), scale, shift), [0, 2, 1])
        x = graph.op(hubert.conv_activation, x)
    return graph.transpose(x, [0, 2, 1])


def _position_embedding(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """A wide grouped convolution over x [B, frames, hidden], as long as x."""
    x = graph.transpose(x, [0, 2, 1])
    if hubert.position_batch_norm:
        norm = {name: tensors[f"batch_norm.{name}"][:] for name in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / np.sqrt(norm["running_var"].astype(np.float64) + 1e-5)
        shift = norm["bias"] - norm["running_mean"] * scale
        x = graph.op("Mul", x, graph.constant(scale.astype(np.float32)[None, :, None]))
        x = graph.add(x, graph.constant(shift.astype(np.float32)[None, :, None]))
    half = hubert.position_kernel // 2
    after = half - 1 if hubert.position_kernel % 2 == 0 else half  # an even kernel's surplus frame is dropped
    x = graph.conv(
        x, tensors["conv.weight"], tensors["conv.bias"], padding=(half, after), groups=hubert.position_groups
    )
    return graph.transpose(graph.op(hubert.conv_activation, x), [0, 2, 1])


def _layer(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    """A transformer layer, its norms before ("stable") or after attention and feed-forward."""
    attention_norm = tensors["layer_norm.weight"], tensors["layer_norm.bias"], hubert.epsilon
    final_norm = tensors["final_layer_norm.weight"], tensors["final_layer_norm.bias"], hubert.epsilon
    if hubert.norm_first:
        h = graph.layer_norm(x, *attention_norm)
        x = graph.add(x, _attention(graph, hubert, h, tensors.within("attention.")))
        return graph.add(x, _feed_forward(graph, hubert, graph.layer_norm(x, *final_norm), tensors))
    x = graph.add(x, _attention(graph, hubert, x, tensors.within("attention.")))
    x = graph.layer_norm(x, *attention_norm)
    return graph.layer_norm(graph.add(x, _feed_forward(graph, hubert, x, tensors)), *final_norm)


def _attention(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    projected = [graph.linear(x, tensors[f"{n}_proj.weight"], name=f"{n}_proj") for n in "qkv"]
    biases = np.concatenate([tensors[f"{n}_proj.bias"][:] for n in "qkv"])
    context = graph.op(
        "MultiHeadAttention", *projected, graph.constant(biases), domain=CONTRIB, num_heads=hubert.num_attention_heads
    )
    return graph.linear(context, tensors["out_proj.weight"], tensors["out_proj.bias"], name="out_proj")


def _feed_forward(graph: GraphBuilder, hubert: Hubert, x: str, tensors: Prefixed) -> str:
    dense = tensors.within("feed_forward.")
    x = graph.linear(x, dense["intermediate_dense.weight"], dense["intermediate_dense.bias"], name="intermediate_dense")
    x = graph.op(hubert.activation, x)
    return graph.linear(x, dense["output_dense.weight"], dense["output_dense.bias"], name="output_dense")
