"""Training examples as sequences of frames: a prompt, then the assistant's segment."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

import small_world
from example_cache import Clip
from vocabulary import ASSISTANT, AUDIO, BOS, EOS, EOT, MODALITIES, SPEECH, TEXT, USER, Vocabulary

GUIDANCE_DROPOUT = 0.05
# How often each task is drawn.
TASKS = {"generate": 0.48, "speak": 0.20, "name": 0.17, "transcribe": 0.13, "talk": 0.02}


@dataclass
class Part:
    """One user message."""

    modality: int
    text: str | None = None
    features: np.ndarray | None = None


@dataclass
class Example:
    frames: np.ndarray  # [n, streams]
    slots: np.ndarray  # [n] bool: embeddings that features replace
    features: np.ndarray  # [slots set, feature size]
    reply_start: int  # index of the assistant's modality token
    reply_modality: int
    unconditional: bool  # the whole prefix up to and including [assistant] is pad


class PromptBuilder:
    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer, feature_size: int):
        self.vocabulary, self.tokenizer, self.feature_size = vocabulary, tokenizer, feature_size

    def prompt(self, parts: list[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames up to and including [assistant], feature slots, features."""
        v = self.vocabulary
        frames, slots, features = [v.single([BOS])], [False], []
        for i, part in enumerate(parts):
            frames.append(v.single([USER, part.modality]))
            slots += [False, False]
            if part.features is None:
                content = v.text(self.tokenizer.encode(part.text).ids)
                slots += [False] * len(content)
            else:
                content = v.single([0] * len(part.features))
                slots += [True] * len(content)
                features.append(part.features)
            frames += [content, v.single([EOT if i + 1 < len(parts) else EOS])]
            slots.append(False)
        frames.append(v.single([ASSISTANT]))
        slots.append(False)
        joined = np.concatenate(features) if features else np.zeros((0, self.feature_size), np.float16)
        return np.concatenate(frames), np.array(slots), joined

    def example(self, parts: list[Part], modality: int, content: np.ndarray, unconditional: bool = False) -> Example:
        prefix, slots, features = self.prompt(parts)
        frames = np.concatenate([prefix, self.vocabulary.single([modality]), content, self.vocabulary.single([EOS])])
        slots = np.concatenate([slots, np.zeros(len(frames) - len(slots), bool)])
        if unconditional:
            frames[: len(prefix)], features = 0, features[:0]
            slots[:] = False
        return Example(frames, slots, features, len(prefix), modality, unconditional)


class Dialogues:
    """Draws examples of every task from the cached clips."""

    def __init__(self, builder: PromptBuilder, codes: list[Clip], features: list[Clip]):
        self.builder = builder
        self.written = self._by_label(codes, spoken=False)
        self.heard = self._by_label(features, spoken=False)
        self.spoken = [c for c in codes if c.spoken]
        self.overheard = [c for c in features if c.spoken]

    @staticmethod
    def _by_label(clips: list[Clip], spoken: bool) -> dict[str, list[Clip]]:
        result: dict[str, list[Clip]] = {}
        for clip in clips:
            if clip.spoken == spoken:
                result.setdefault(clip.label, []).append(clip)
        return result

    def draw(self) -> Example:
        task = random.choices(list(TASKS), list(TASKS.values()))[0]
        return getattr(self, f"_{task}")()

    def _text(self, text: str) -> np.ndarray:
        return self.builder.vocabulary.text(self.builder.tokenizer.encode(text).ids)

    def _codes(self, clip: Clip) -> np.ndarray:
        return self.builder.vocabulary.delayed(clip.data.astype(np.int64))

    def _generate(self) -> Example:
        label = random.choice(list(self.written))
        clip = random.choice(self.written[label])
        parts = [Part(TEXT, text=small_world.request(label))]
        return self.builder.example(parts, AUDIO, self._codes(clip), random.random() < GUIDANCE_DROPOUT)

    def _speak(self) -> Example:
        clip = random.choice(self.spoken)
        parts = [Part(TEXT, text=small_world.say(clip.label.split()))]
        return self.builder.example(parts, SPEECH, self._codes(clip), random.random() < GUIDANCE_DROPOUT)

    def _name(self) -> Example:
        if random.random() < 0.08:
            label, clip = "speech", random.choice(self.overheard)
        else:
            label = random.choice(list(self.heard))
            clip = random.choice(self.heard[label])
        asked, answer = small_world.question(label)
        parts = [Part(AUDIO, features=clip.data), Part(TEXT, text=asked)]
        if random.random() < 0.5:
            parts.reverse()
        return self.builder.example(parts, TEXT, self._text(answer))

    def _transcribe(self) -> Example:
        clip = random.choice(self.overheard)
        modality = SPEECH if random.random() < 0.85 else AUDIO
        parts = [Part(TEXT, text=small_world.transcribe()), Part(modality, features=clip.data)]
        if random.random() < 0.2:
            parts.reverse()
        return self.builder.example(parts, TEXT, self._text(clip.label))

    def _talk(self) -> Example:
        asked, answer = small_world.talk()
        return self.builder.example([Part(TEXT, text=asked)], TEXT, self._text(answer))


def is_sound(modality: int) -> bool:
    return modality in (AUDIO, SPEECH)


def modality_name(token: int) -> str:
    return next(name for name, value in MODALITIES.items() if value == token)
