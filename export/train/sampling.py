"""Plain sampling with guidance, for judging the model before it is exported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dialogue import Part, PromptBuilder, is_sound, modality_name
from language_model import LanguageModel
from vocabulary import EOS, EOT, MODALITIES, SPECIAL_COUNT


@dataclass(frozen=True)
class SamplingConfig:
    temperature: float
    top_k: int
    guidance: float
    max_steps: int


@dataclass
class Segment:
    modality: str
    text: str | None
    codes: np.ndarray | None  # [streams, frames]
    ended: bool


def choose(logits: Tensor, config: SamplingConfig, generator: torch.Generator) -> Tensor:
    """One index a row: top-k, then softmax at the temperature; temperature 0 is argmax."""
    if config.temperature == 0:
        return logits.argmax(-1)
    best, index = logits.topk(min(config.top_k, logits.shape[-1]))
    drawn = torch.multinomial((best / config.temperature).softmax(-1), 1, generator=generator)
    return index.gather(-1, drawn)[:, 0]


class Sampler:
    def __init__(self, model: LanguageModel, builder: PromptBuilder, configs: dict[str, SamplingConfig]):
        self.model, self.builder, self.configs = model.eval(), builder, configs

    @torch.no_grad()
    def reply(self, parts: list[Part], count: int = 1, force: str | None = None, seed: int = 0) -> list[Segment]:
        """`count` independent replies to one prompt, one segment each."""
        model, generator = self.model, torch.Generator().manual_seed(seed)
        prefix, slots, features = self.builder.conversation(*parts).prompt()
        embedded = model.embed(
            torch.from_numpy(prefix)[None], torch.from_numpy(features.astype(np.float32)), torch.from_numpy(slots)[None]
        )
        caches: list[list[Tensor]] = [[] for _ in model.model.layers]
        hidden = model(embedded, caches)[:, -1]
        tokens = list(MODALITIES.values())
        modality = MODALITIES[force] if force else tokens[int(model.text_logits(hidden)[0, tokens].argmax())]
        config = self.configs[modality_name(modality)]
        guided = is_sound(modality) and config.guidance != 1.0
        if guided:
            empty: list[list[Tensor]] = [[] for _ in model.model.layers]
            model(torch.zeros_like(embedded), empty)
        for i, layer in enumerate(caches):
            rows = [c.expand(count, -1, -1, -1) for c in layer]
            layer[:] = [torch.cat([r, e.expand(count, -1, -1, -1)]) for r, e in zip(rows, empty[i])] if guided else rows
        frame = torch.from_numpy(self.builder.vocabulary.single([modality]))[None].expand(count, -1, -1)
        frames, done = [], torch.zeros(count, dtype=torch.bool)
        for _ in range(config.max_steps):
            both = torch.cat([frame, frame]) if guided else frame
            hidden = model(model.embed(both), caches)[:, -1]
            frame = self._step(hidden, is_sound(modality), config, guided, generator)
            frames.append(frame[:, 0])
            done |= (frame[:, 0, 0] == EOS) | (frame[:, 0, 0] == EOT)
            if done.all():
                break
        stacked = torch.stack(frames, dim=1).numpy()
        return [self._segment(row, modality) for row in stacked]

    def _step(self, hidden: Tensor, sound: bool, config: SamplingConfig, guided: bool, generator: torch.Generator) -> Tensor:
        model, v = self.model, self.builder.vocabulary

        def logits(compute) -> Tensor:
            scores = compute(hidden)
            if not guided:
                return scores
            conditional, unconditional = scores.chunk(2)
            return config.guidance * conditional + (1 - config.guidance) * unconditional

        if not sound:
            scores = logits(model.text_logits)
            allowed = torch.full_like(scores, -torch.inf)
            allowed[:, [EOS, EOT]] = 0.0
            allowed[:, SPECIAL_COUNT:] = 0.0
            frame = torch.zeros(len(scores), 1, v.streams, dtype=torch.int64)
            frame[:, 0, 0] = choose(scores + allowed, config, generator)
            return frame
        chosen = []
        for stream in range(v.streams):
            index = choose(logits(lambda h, s=stream: model.audio_logits(h, s)), config, generator)
            token = v.block(stream) + index
            if stream == 0:
                token = torch.where(index >= v.block_size, EOS + index - v.block_size, token)
            chosen.append(token)
        return torch.stack(chosen, dim=-1)[:, None]

    def _segment(self, frames: np.ndarray, modality: int) -> Segment:
        closing = np.flatnonzero(np.isin(frames[:, 0], (EOS, EOT)))
        content = frames[: closing[0]] if closing.size else frames
        name, ended = modality_name(modality), bool(closing.size)
        if is_sound(modality):
            return Segment(name, None, self.builder.vocabulary.undelayed(content), ended)
        ids = [int(i) - SPECIAL_COUNT for i in content[:, 0]]
        return Segment(name, self.builder.tokenizer.decode(ids), None, ended)
