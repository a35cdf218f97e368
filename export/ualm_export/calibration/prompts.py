"""The prompts of the calibration: texts and sounds in the family's template."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from ..parts import Parts
from .texts import CAPTIONS, CONVERSATIONS, QUESTIONS, SPEECH

_MOST_TEXT = 128
"""Maximum tokens of a text: a tokenizer that spells produces many more."""
_MOST_FEATURES = 250
"""Maximum rows of a sound: a window of 30 seconds has three times as many."""


@dataclass
class Prompt:
    """The start of a sequence, and the modality of its continuation."""

    frames: np.ndarray
    """Ids [T, width]."""
    modality: str
    features: np.ndarray | None = None
    """Features of a sound, float32 [rows, H], at the positions from `features_at` on."""
    features_at: int = 0


class PromptWriter:
    def __init__(self, parts: Parts, tokenizer: bytes):
        self._parts = parts
        self._template = parts.template
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())

    def prompts(self, heard: list[np.ndarray]) -> Iterator[Prompt]:
        """Yields conversations, requests for sounds and speech, each of these also without its words, and questions about `heard`.

        `heard` are the features [rows, H] of some sounds.
        """
        for question, answer in CONVERSATIONS:
            yield self._prompt("text", question)
            yield self._prompt("text", question, answer)
        for modality, words in (("audio", CAPTIONS), ("speech", SPEECH)):
            if modality in self._parts.modalities:
                for text in words:
                    yield self._prompt(modality, text)
                yield self._without_words(self._prompt(modality, words[0]))
        for features, question in zip(heard, QUESTIONS):
            yield self._prompt("text", question, features=features[:_MOST_FEATURES])

    def _prompt(self, modality: str, words: str, answer: str | None = None, features: np.ndarray | None = None) -> Prompt:
        """Returns a user's turn, and the opener of a reply of `modality` or the beginning of the text `answer`."""
        template = self._template
        task = template["tasks"].get("listening" if features is not None else modality, template["tasks"]["text"])
        turn = task["turns"]["user"]
        text = template["content"]["text"]
        ids = self._ids(task.get("begin", []))
        if task.get("system"):
            system = task["turns"]["system"]
            ids += self._ids([*system["open"], *text.get("open", []), task["system"], *system["close"]])
        ids += self._ids(turn["open"])
        at = 0
        if features is not None:
            sound = template["content"]["audio"]
            ids += self._ids(sound.get("open", []))
            at = len(ids)
            ids += [sound["feature"]] * len(features) + self._ids([*sound.get("close", []), *turn["join"]])
        ids += self._ids([*text.get("open", []), words, *turn["close"], *task["reply"]])
        ids += self._ids(template["segments"][modality]["open"])
        ids += [] if answer is None else self._ids([answer])
        return Prompt(self._frames(ids), modality, features, at)

    def _without_words(self, prompt: Prompt) -> Prompt:
        """Returns the unconditional prompt of guidance: of equal length, with pads or the filling id."""
        fill = self._template["unconditional"]
        opener = len(self._ids(self._template["segments"][prompt.modality]["open"]))
        frames = prompt.frames.copy()
        frames[: len(frames) - opener, 0] = self._parts.embedding.pad if fill == "pads" else fill["fill"]
        return Prompt(frames, prompt.modality)

    def _ids(self, pieces: list) -> list[int]:
        """Converts pieces to ids: numbers are ids, strings are tokenized."""
        ids = []
        first = self._parts.text.ids[0]
        for piece in pieces:
            if isinstance(piece, str):
                tokens = self._tokenizer.encode(piece, add_special_tokens=False).ids[:_MOST_TEXT]
                ids += [first + token for token in tokens]
            else:
                ids.append(piece)
        return ids

    def _frames(self, ids: list[int]) -> np.ndarray:
        embedding = self._parts.embedding
        frames = np.full((len(ids), embedding.width), embedding.pad or 0, np.int64)
        frames[:, 0] = ids
        return frames
