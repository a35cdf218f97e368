"""A small audio tower of Qwen2.5-Omni, with transformers' names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import attend

FEATURES_PER_SECOND = 25
GROUP = 8  # chunks that are encoded together


@dataclass(frozen=True)
class AudioTowerConfig:
    num_mel_bins: int = 128
    d_model: int = 192
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 512
    n_window: int = 100
    output_dim: int = 192
    dropout: float = 0.1  # while training only

    @property
    def chunk_frames(self) -> int:
        return 2 * self.n_window


def sinusoids(length: int, channels: int) -> Tensor:
    scale = math.log(10_000) / (channels // 2 - 1)
    inverse = torch.exp(-scale * torch.arange(channels // 2).float())
    angle = torch.arange(length).float()[:, None] * inverse
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Attention(nn.Module):
    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size)
        self.q_proj = nn.Linear(size, size)
        self.out_proj = nn.Linear(size, size)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731
        q = split(self.q_proj(x))
        k = split(self.k_proj(x))
        v = split(self.v_proj(x))
        y = attend(q, k, v, bias)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class TowerLayer(nn.Module):
    def __init__(self, config: AudioTowerConfig):
        super().__init__()
        size = config.d_model
        self.self_attn = Attention(size, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.fc1 = nn.Linear(size, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, size)
        self.final_layer_norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.dropout(self.self_attn(self.self_attn_layer_norm(x), bias))
        return x + self.dropout(self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))))


class AudioTower(nn.Module):
    def __init__(self, config: AudioTowerConfig):
        super().__init__()
        self.config = config
        size = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, size, 3, padding=1)
        self.conv2 = nn.Conv1d(size, size, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(TowerLayer(config) for _ in range(config.encoder_layers))
        self.ln_post = nn.LayerNorm(size)
        self.proj = nn.Linear(size, config.output_dim)
        self.register_buffer("positions", sinusoids(config.n_window, size), persistent=False)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Encodes chunks [chunks, mel bins, frames], of which `lengths` frames hold signal, to [chunks, frames / 4, output].

        The number of frames is a multiple of 4, at most `chunk_frames`.
        """
        inside = torch.arange(mel.shape[-1]) < lengths[:, None]
        x = F.gelu(self.conv1(mel)) * inside[:, None]
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        valid = torch.arange(x.shape[1]) < ((lengths - 1) // 2 + 1)[:, None]
        bias = torch.zeros(valid.shape).masked_fill(~valid, float("-inf"))[:, None, None]
        for layer in self.layers:
            x = layer(x, bias)
        x = F.avg_pool1d(x.transpose(1, 2), 2).transpose(1, 2)
        return self.proj(self.ln_post(x))

    def encode(self, mels: list[np.ndarray]) -> list[Tensor]:
        """Computes the features [n, output_dim] of every clip, 25 a second."""
        size = self.config.chunk_frames
        divided = [[mel[:, start : start + size] for start in range(0, mel.shape[1], size)] for mel in mels]
        encoded = iter(self._encode_chunks([chunk for chunks in divided for chunk in chunks]))
        return [torch.cat([next(encoded) for _ in chunks]) for chunks in divided]

    def _encode_chunks(self, chunks: list[np.ndarray]) -> list[Tensor]:
        """Encodes chunks in groups of similar length, each padded to the longest of its group."""
        features = [torch.empty(0)] * len(chunks)
        by_length = sorted(range(len(chunks)), key=lambda i: chunks[i].shape[1])
        for first in range(0, len(chunks), GROUP):
            group = by_length[first : first + GROUP]
            lengths = [chunks[i].shape[1] for i in group]
            width = -(-lengths[-1] // 4) * 4
            padded = [np.pad(chunks[i], ((0, 0), (0, width - length))) for i, length in zip(group, lengths)]
            for i, length, rows in zip(group, lengths, self(torch.from_numpy(np.stack(padded)), torch.tensor(lengths))):
                features[i] = rows[: feature_length(length)]
        return features


def feature_length(mel_frames: int) -> int:
    return ((mel_frames - 1) // 2 + 1) // 2
