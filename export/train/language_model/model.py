"""The language model: a Qwen2 decoder over parallel streams of tokens, with the names of the UALM authors' state dict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import attend_causally
from .vocabulary import EOS, EOT, Vocabulary


@dataclass(frozen=True)
class LanguageModelConfig:
    vocab_size: int = 768  # text only
    hidden_size: int = 256
    intermediate_size: int = 640
    num_hidden_layers: int = 7
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    max_position_embeddings: int = 4096
    dropout: float = 0.0  # while training only; the model learns its units by heart

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config: LanguageModelConfig):
        super().__init__()
        self.config = config
        size = config.hidden_size
        head = config.head_dim
        self.q_proj = nn.Linear(size, config.num_attention_heads * head)
        self.k_proj = nn.Linear(size, config.num_key_value_heads * head)
        self.v_proj = nn.Linear(size, config.num_key_value_heads * head)
        self.o_proj = nn.Linear(config.num_attention_heads * head, size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: list[Tensor] | None) -> Tensor:
        split = lambda y: y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)  # noqa: E731
        q = split(self.q_proj(x))
        k = split(self.k_proj(x))
        v = split(self.v_proj(x))
        q = rotate(q, cos, sin)
        k = rotate(k, cos, sin)
        if cache is not None:
            if cache:
                k = torch.cat([cache[0], k], dim=2)
                v = torch.cat([cache[1], v], dim=2)
            cache[:] = [k, v]
        groups = self.config.num_attention_heads // self.config.num_key_value_heads
        k = k.repeat_interleave(groups, 1)
        v = v.repeat_interleave(groups, 1)
        y = attend_causally(q, k, v)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, config: LanguageModelConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: LanguageModelConfig):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: list[Tensor] | None) -> Tensor:
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin, cache))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    def __init__(self, config: LanguageModelConfig, vocabulary: Vocabulary):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary.size, config.hidden_size, padding_idx=0)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)


class LanguageModel(nn.Module):
    """The parts of the checkpoint that stage `llm` trains: decoder, heads, and the adaptor of the audio features."""

    def __init__(self, config: LanguageModelConfig, vocabulary: Vocabulary, feature_size: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.model = Decoder(config, vocabulary)
        self.lm_head = nn.Linear(config.hidden_size, vocabulary.size, bias=False)
        self.stream_emb = nn.Embedding(vocabulary.streams, config.hidden_size)
        self.adaptor = nn.ModuleDict({"continuous_audio": nn.Linear(feature_size, config.hidden_size)})
        self.apply(self._initialize)
        inverse = config.rope_theta ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim)
        self.register_buffer("inverse_frequency", inverse, persistent=False)

    @staticmethod
    def _initialize(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])

    def embed(self, frames: Tensor, features: Tensor | None = None, slots: Tensor | None = None) -> Tensor:
        """Embeds frames [batch, n, streams]; `features` [k, size] replace the k positions that `slots` marks."""
        x = self.model.embed_tokens(frames).sum(dim=2)
        if features is not None and len(features):
            x = x.masked_scatter(slots[..., None], self.adaptor["continuous_audio"](features))
        return x

    def forward(self, embeddings: Tensor, caches: list[list[Tensor]] | None = None) -> Tensor:
        """Returns the hidden states after the final norm. `caches` holds one list for each layer and grows in place."""
        past = caches[0][0].shape[2] if caches and caches[0] else 0
        position = torch.arange(past, past + embeddings.shape[1])
        angle = position[:, None].float() * self.inverse_frequency
        angle = torch.cat([angle, angle], dim=-1)
        cos = angle.cos()
        sin = angle.sin()
        x = embeddings
        for i, layer in enumerate(self.model.layers):
            x = layer(x, cos, sin, caches[i] if caches is not None else None)
        return self.model.norm(x)

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Returns the logits of special and text ids; the column is the global id."""
        return F.linear(hidden, self.lm_head.weight[: self.vocabulary.text_end])

    def audio_heads(self) -> list[Tensor]:
        """Returns the rows of each stream's own block; those of stream 0 end with eos and eot."""
        text, *blocks = self.lm_head.weight.split([self.vocabulary.block(0)] + [self.vocabulary.block_size] * self.vocabulary.streams)
        return [torch.cat([blocks[0], text[[EOS, EOT]]]), *blocks[1:]]

    def audio_logits(self, hidden: Tensor, stream: int, heads: list[Tensor] | None = None) -> Tensor:
        """Returns the logits of a stream's own block; `heads`: those of `audio_heads`, to compute them once for all streams."""
        rows = (heads or self.audio_heads())[stream]
        return F.linear(hidden if stream == 0 else hidden + self.stream_emb.weight[stream], rows)
