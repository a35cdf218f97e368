"""Audex's language model: Nemotron's dense body, without biases and gates, with one stream."""

from collections.abc import Mapping

from ...blocks.decoder_stack import DecoderStack
from ...blocks.mlp import PlainMlp
from ...config import Config
from ...errors import ExportError
from ...language_model import Decoder, Embedding
from ...names import Names
from ..transformers import DECODER, cached_attention

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
UNUSED_TENSORS = [r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"]
_MODEL_TYPES = ["nemotron_dense_audex", "nemotron_dense"]


def decoder(config: Config, max_positions: int | None = None) -> Decoder:
    """Reads the config of the language model; `max_positions` limits the context."""
    config.require("model_type", _MODEL_TYPES)
    config.require("hidden_act", ["relu2"])
    for field in ("attention_bias", "mlp_bias", "bias", "use_sliding_window", "use_qk_norm"):
        config.require(field, [False], default=False)
    config.require("partial_rotary_factor", [1], default=1)
    config.require("sliding_window", [None], default=None)
    attention = cached_attention(config, biases=False, max_positions=max_positions)
    if attention.heads % attention.key_value_heads:
        raise ExportError(
            f"{config.source}: {attention.heads} heads over {attention.key_value_heads} of keys and values; "
            "expected a multiple"
        )
    stack = DecoderStack(
        layers=config.size("num_hidden_layers"),
        attention=attention,
        mlp=PlainMlp(attention.hidden_size, config.size("intermediate_size"), "relu2"),
        epsilon=config.number("norm_eps"),
    )
    return Decoder(Names("model.", DECODER), stack)


def embedding(config: Config) -> Embedding:
    return Embedding(EMBEDDING, config.size("vocab_size"), config.size("hidden_size"), width=1)


def head_matrix(config: Config, tensors: Mapping) -> str:
    """Returns the name of the output matrix: one of its own among the tensors takes precedence over the config."""
    tied = config.get("tie_word_embeddings", default=False) and HEAD not in tensors
    return EMBEDDING if tied else HEAD
