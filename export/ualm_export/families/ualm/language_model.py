"""The trainer's language model: a Qwen2 body, one vocabulary for all streams, an embedding for each stream."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...blocks.decoder_stack import DecoderStack
from ...blocks.mlp import GatedMlp
from ...blocks.shapes import Shapes
from ...config import Config
from ...errors import ExportError
from ...graph import Storage
from ...language_model import Decoder, Embedding, Head, only
from ...names import Names
from ..transformers import DECODER, cached_attention
from .vocabulary import SPECIAL, Vocabulary

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
STREAMS = "stream_emb.weight"
UNUSED_TENSORS = [r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"]


def decoder(config: Config, max_positions: int | None = None) -> Decoder:
    """Reads a Qwen2 config of transformers 4 or 5; `max_positions` limits the context."""
    config.require("model_type", ["qwen2"])
    config.require("hidden_act", ["silu"], default="silu")
    config.require("use_sliding_window", [False], default=False)
    if "sliding_attention" in config.get("layer_types", default=[]):
        raise ExportError(f"{config.source}: layer_types names sliding_attention; supported: full_attention")
    stack = DecoderStack(
        layers=config.size("num_hidden_layers"),
        attention=cached_attention(config, biases=True, max_positions=max_positions),
        mlp=GatedMlp(config.size("hidden_size"), config.size("intermediate_size")),
        epsilon=config.number("rms_norm_eps"),
    )
    return Decoder(Names("model.", DECODER), stack)


def embedding(vocabulary: Vocabulary, hidden_size: int) -> Embedding:
    return Embedding(EMBEDDING, vocabulary.size, hidden_size, vocabulary.streams, SPECIAL["pad"])


def heads(config: Config, tensors: Mapping, vocabulary: Vocabulary, hidden_size: int) -> dict[str, Head]:
    """Returns the heads for text, where a column is an id, and for sound.

    A separate matrix among the tensors takes precedence over the config's tied embeddings: a state dict contains it in
    either case.
    """
    tied = config.get("tie_word_embeddings", default=False) and HEAD not in tensors
    matrix = EMBEDDING if tied else HEAD
    size = vocabulary.size
    ends = [only(SPECIAL["eos"]), only(SPECIAL["eot"])]
    return {
        "text_head": Head(matrix, size, hidden_size, ((0, vocabulary.text[1]),)),
        "audio_head": StreamHead(matrix, size, hidden_size, (*vocabulary.audio, *ends), vocabulary.streams),
    }


@dataclass(frozen=True)
class StreamHead(Head):
    """A head with a block of ids for each stream, then ids that belong to stream 0.

    Stream i reads the hidden state plus its own embedding e_i: W(h + e_i) = Wh + We_i, a bias. The embedding of stream 0
    counts as zero.
    """

    streams: int

    def tensor_shapes(self) -> Shapes:
        return {STREAMS: (self.streams, self.hidden_size)} | super().tensor_shapes()

    def has_shortlist(self, storage: Storage) -> bool:
        """Returns false: every logit has a bias of its own, and every book its own candidates."""
        return False

    def bias(self, tensors: Mapping) -> np.ndarray:
        embeddings = tensors[STREAMS][:].astype(np.float64)
        bias = [np.zeros(end - start) for start, end in self.ids]
        for i in range(1, self.streams):
            block = tensors[self.matrix].part(*self.ids[i])
            bias[i] = block[:].astype(np.float64) @ embeddings[i]
        return np.concatenate(bias).astype(np.float32)
