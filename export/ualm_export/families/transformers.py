"""Configs and tensor names of the transformers library, which families share."""

from ..blocks.attention import CachedAttention
from ..blocks.whisper_tower import WhisperTower
from ..config import Config
from ..errors import ExportError

_LAYER = "layers.{}."
DECODER = {
    "layers.{}.attention_norm": _LAYER + "input_layernorm",
    "layers.{}.attention.query": _LAYER + "self_attn.q_proj",
    "layers.{}.attention.key": _LAYER + "self_attn.k_proj",
    "layers.{}.attention.value": _LAYER + "self_attn.v_proj",
    "layers.{}.attention.output": _LAYER + "self_attn.o_proj",
    "layers.{}.mlp_norm": _LAYER + "post_attention_layernorm",
    "layers.{}.mlp.gate": _LAYER + "mlp.gate_proj",
    "layers.{}.mlp.up": _LAYER + "mlp.up_proj",
    "layers.{}.mlp.down": _LAYER + "mlp.down_proj",
    "norm": "norm",
}
WHISPER_TOWER = {
    "conv1": "conv1",
    "conv2": "conv2",
    "positions": "embed_positions",
    "layers.{}.attention_norm": _LAYER + "self_attn_layer_norm",
    "layers.{}.attention.query": _LAYER + "self_attn.q_proj",
    "layers.{}.attention.key": _LAYER + "self_attn.k_proj",
    "layers.{}.attention.value": _LAYER + "self_attn.v_proj",
    "layers.{}.attention.output": _LAYER + "self_attn.out_proj",
    "layers.{}.mlp_norm": _LAYER + "final_layer_norm",
    "layers.{}.mlp.up": _LAYER + "fc1",
    "layers.{}.mlp.down": _LAYER + "fc2",
    "norm": "layer_norm",
}


def cached_attention(config: Config, biases: bool, max_positions: int | None = None) -> CachedAttention:
    """Returns the attention of a decoder; `max_positions` limits the context."""
    hidden_size = config.size("hidden_size")
    heads = config.size("num_attention_heads")
    positions = config.size("max_position_embeddings")
    head_size = config.size("head_dim", default=hidden_size // heads)
    if head_size % 2:
        raise ExportError(f"{config.source}: the size of a head is {head_size}; rotary positions need an even size")
    return CachedAttention(
        hidden_size=hidden_size,
        heads=heads,
        key_value_heads=config.size("num_key_value_heads", default=heads),
        head_size=head_size,
        rotary_theta=_rotary_theta(config),
        max_positions=min(positions, max_positions or positions),
        biases=biases,
    )


def _rotary_theta(config: Config) -> float:
    """Returns the rotary base: `rope_theta` (transformers 4) or `rope_parameters` (transformers 5)."""
    parameters = config.section("rope_parameters", default={})
    for name in ("rope_parameters", "rope_scaling"):
        value = config.section(name, default={}).values
        kind = value.get("rope_type", value.get("type", "default"))
        if kind != "default":
            raise ExportError(f"{config.source}: {name} has rotary scaling {kind!r}; supported: 'default'")
        if value.get("partial_rotary_factor", 1) != 1:
            raise ExportError(f"{config.source}: {name} rotates a part of each head; supported: whole heads")
    for section in (parameters, config):
        if section.get("rope_theta", default=None) is not None:
            return section.number("rope_theta")
    raise ExportError(f"{config.source} has neither rope_theta nor rope_parameters.rope_theta")


def whisper_tower(
    config: Config, chunk_frames: int, *, masked: bool, learned_positions: bool, projected_size: int | None = None
) -> WhisperTower:
    """Returns a tower with the sizes of `config`; absent ones are those of Whisper's largest model."""
    config.require("activation_function", ["gelu"], default="gelu")
    config.require("scale_embedding", [False], default=False)
    return WhisperTower(
        hidden_size=config.size("d_model", "hidden_size", default=1280),
        intermediate_size=config.size("encoder_ffn_dim", "intermediate_size", default=5120),
        layers=config.size("encoder_layers", "num_hidden_layers", default=32),
        heads=config.size("encoder_attention_heads", "num_attention_heads", default=20),
        mel_bins=config.size("num_mel_bins", default=128),
        chunk_frames=chunk_frames,
        masked=masked,
        learned_positions=learned_positions,
        projected_size=projected_size,
    )
