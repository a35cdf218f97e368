"""A conversation as a sequence of frames: the user's messages, and the assistant's segments as targets."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from ..world.scenes import VERDICT
from . import guides
from .vocabulary import ASSISTANT, BOS, EOS, EOT, TEXT, USER, Vocabulary

IGNORE = guides.IGNORE
DECISION_WEIGHT = 20.0  # of a frame that decides the continuation
VERDICT_WEIGHT = 6.0  # of a token of a conclusion


@dataclass
class Part:
    """One user message."""

    modality: int
    text: str | None = None
    features: np.ndarray | None = None
    guides: np.ndarray | None = None  # of the features


@dataclass
class Example:
    frames: np.ndarray  # [n, streams]
    slots: np.ndarray  # [n] bool: positions whose embeddings are replaced by features
    features: np.ndarray  # [slots set, feature size]
    text_targets: np.ndarray  # [n]: the token of stream 0 after each frame, IGNORE elsewhere
    sound_targets: np.ndarray  # [n, streams]: index into each stream's audio logits, IGNORE elsewhere
    weights: np.ndarray  # [n, streams] of the targets after each frame
    guides: np.ndarray  # [n, 6]: see guides.py
    prompt: int = 0  # number of leading frames that a second row, for guidance, replaces by pad; 0: no second row

    @property
    def rows(self) -> int:
        return 2 if self.prompt else 1

    def without_prompt(self) -> Example:
        """Returns the second row: pad up to the last segment, its [assistant] included, and only that segment as target."""
        row = copy.deepcopy(self)
        row.frames[: self.prompt] = 0
        row.slots[:] = False
        row.features = self.features[:0]
        row.text_targets[:] = IGNORE
        row.sound_targets[: self.prompt] = IGNORE
        row.guides[:] = IGNORE
        return row


class Conversation:
    """A conversation that grows message by message, with the assistant's messages as targets."""

    def __init__(self, builder: PromptBuilder):
        self.builder = builder
        self.vocabulary = builder.vocabulary
        self._frames = [self.vocabulary.single([BOS])]
        self._slots = [np.zeros(1, bool)]
        self._features = []
        self._text = [self._nothing(1)]
        self._sound = [self._silence(1)]
        self._weights = [self._even(1)]
        self._guides = [guides.none(1)]

    def user(self, *parts: Part) -> Conversation:
        v = self.vocabulary
        for i, part in enumerate(parts):
            if part.features is None:
                content = self.builder.text(part.text)
            else:
                content = v.single([0] * len(part.features))
                self._features.append(part.features)
            frames = np.concatenate([v.single([USER, part.modality]), content, v.single([EOT if i + 1 < len(parts) else EOS])])
            slots = np.zeros(len(frames), bool)
            guided = guides.none(len(frames))
            slots[2:-1] = part.features is not None
            if part.guides is not None:
                guided[2:-1] = part.guides
            self._append(frames, slots, guided=guided)
        return self

    def text(self, text: str, last: bool = True) -> Conversation:
        """Adds a text segment of the assistant; another segment follows unless it is the `last` one."""
        content = self.builder.text(text)
        closing = EOS if last else EOT
        frames = np.concatenate([self.vocabulary.single([ASSISTANT, TEXT]), content, self.vocabulary.single([closing])])
        targets = self._nothing(len(frames))
        weights = self._even(len(frames))
        targets[:-1] = frames[1:, 0]
        if verdict := VERDICT.search(text):
            weights[1 + len(self.builder.text(text[: verdict.start()])) : -2] = VERDICT_WEIGHT
        self._append(frames, text=targets, weights=weights)
        return self

    def sound(
        self, modality: int, content: np.ndarray, weights: np.ndarray, guided: np.ndarray | None = None, last: bool = True, learned: bool = True
    ) -> Conversation:
        """Adds a sound segment: frames [n, streams] in the delay pattern, the weight of each token, and the guides.

        The first guide precedes the first frame. If the segment is not `learned`, only its end is a target: whether another
        segment follows. Its guides then have no next sound.
        """
        v = self.vocabulary
        closing = EOS if last else EOT
        frames = np.concatenate([v.single([ASSISTANT, modality]), content, v.single([closing])])
        text = self._nothing(len(frames))
        sound = self._silence(len(frames))
        all_weights = self._even(len(frames))
        text[0] = modality
        if learned:
            sound[1:-2] = content - np.array([v.block(i) for i in range(v.streams)])
            all_weights[1 : 1 + len(weights)] = weights
        sound[-2, 0] = v.block_size + (closing == EOT)  # eos and eot follow the codes in stream 0's logits
        all_weights[-2] = DECISION_WEIGHT
        all_guides = guides.none(len(frames))
        if guided is not None:
            all_guides[1:-1] = guided
            if not learned:
                all_guides[:, guides.NEXT :] = IGNORE
        self._append(frames, text=text, sound=sound, weights=all_weights, guided=all_guides)
        return self

    def example(self, guided: bool = False) -> Example:
        """Returns the example; with `guided`, its last segment is also trained under guidance."""
        features = np.concatenate(self._features) if self._features else np.zeros((0, self.builder.feature_size), np.float16)
        return Example(
            np.concatenate(self._frames), np.concatenate(self._slots), features,
            np.concatenate(self._text), np.concatenate(self._sound), np.concatenate(self._weights), np.concatenate(self._guides),
            prompt=sum(map(len, self._frames[:-1])) + 1 if guided else 0,
        )  # fmt: skip

    def _append(self, frames: np.ndarray, slots=None, text=None, sound=None, weights=None, guided=None) -> None:
        n = len(frames)
        self._frames.append(frames)
        self._slots.append(np.zeros(n, bool) if slots is None else slots)
        self._text.append(self._nothing(n) if text is None else text)
        self._sound.append(self._silence(n) if sound is None else sound)
        self._weights.append(self._even(n) if weights is None else weights)
        self._guides.append(guides.none(n) if guided is None else guided)

    @staticmethod
    def _nothing(n: int) -> np.ndarray:
        return np.full(n, IGNORE, np.int64)

    def _silence(self, n: int) -> np.ndarray:
        return np.full((n, self.vocabulary.streams), IGNORE, np.int64)

    def _even(self, n: int) -> np.ndarray:
        return np.ones((n, self.vocabulary.streams), np.float32)


class PromptBuilder:
    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer, feature_size: int):
        self.vocabulary = vocabulary
        self.tokenizer = tokenizer
        self.feature_size = feature_size

    def text(self, text: str) -> np.ndarray:
        return self.vocabulary.text(self.tokenizer.encode(text).ids)

    def conversation(self, *parts: Part) -> Conversation:
        return Conversation(self).user(*parts)
