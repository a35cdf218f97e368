"""Composes scenes and spoken words from written units, as frames."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..data.rendering import TRAIL, WRITTEN, layout
from ..data.units import HOP
from ..world.scenes import Scene, Span
from . import guides
from .clips import Clip
from .conversation import DECISION_WEIGHT
from .guides import Placed
from .vocabulary import Vocabulary

ABRIDGED = 8  # frames that remain of every unit
ONSET = 2  # first frames of a unit, which decide its kind
WORD_GAP = 7  # frames between spoken words
EDGE_FRAMES = 3
FRAMES_PER_SECOND = 50
LEAD = 3  # frames before a plain sound
PLAIN_SECONDS = (2.0, 4.0)  # minimum length before an event is no longer repeated
LEAST_PLAIN = 100  # frames of a continuing sound
PLAIN_GAPS = (6, 28)  # frames between the repetitions
MOST_REPEATED = 7


@dataclass(frozen=True)
class WrittenUnit:
    """A unit in codes; stands in for `units.Unit` in `rendering.layout`."""

    label: str
    codes: np.ndarray
    source: str = ""
    broken_off: bool = False

    @property
    def frames(self) -> int:
        return self.codes.shape[1]

    def beginning(self, frames: int) -> WrittenUnit:
        return WrittenUnit(self.label, self.codes[:, :frames], self.source)

    def abridged(self) -> WrittenUnit:
        return WrittenUnit(self.label, self.codes[:, :ABRIDGED], self.source, True) if self.frames > ABRIDGED else self


def abridged(placed: list[tuple[WrittenUnit, int]]) -> tuple[list[tuple[WrittenUnit, int]], int]:
    """Shortens every unit to its beginning, with the same gaps; returns the layout and the number of frames."""
    result = []
    cut = 0
    for unit, at in placed:
        result.append((unit.abridged(), at - cut))
        cut += unit.frames - result[-1][0].frames
    return result, result[-1][1] + result[-1][0].frames + TRAIL


class Written(NamedTuple):
    """A scene as the model writes it."""

    frames: np.ndarray  # [n, streams], in the delay pattern
    weights: np.ndarray  # [n, streams]
    guides: np.ndarray | None  # [1 + n, 6]: before the first frame, and after each
    spans: list[Span]


class Pen:
    """Composes scenes and spoken words from written units."""

    def __init__(self, clips: list[Clip], vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.units: dict[str, list[WrittenUnit]] = {}
        self.alone: dict[str, list[WrittenUnit]] = {}  # long stretches of continuing sounds
        self.over: list[Clip] = []
        self.words: dict[str, dict[str, list[np.ndarray]]] = {}  # voice → word → takes
        for clip in clips:
            if clip.words:
                self.words.setdefault(clip.voice, {}).setdefault(clip.words, []).append(clip.data)
            elif clip.scene is None:
                self.silence = clip.data[:, clip.data.shape[1] // 2].astype(np.int64)
            elif clip.scene.background:
                self.over.append(clip)
            else:
                label = clip.scene.labels[0]
                (self.alone if clip.alone else self.units).setdefault(label, []).append(WrittenUnit(label, clip.data, clip.source))

    def choose(self, *labels: str) -> dict[str, list[WrittenUnit]]:
        """Draws one unit of every label, for scenes that must sound alike."""
        return {label: [random.choice(self.units[label])] for label in labels}

    def plain(self, label: str) -> Written:
        """Composes the sound of a plain request: an event several times, or a continuing sound for some seconds."""
        placed = []
        at = LEAD
        if label in self.alone:
            whole = random.choice(self.alone[label])
            placed = [(whole.beginning(random.randint(min(LEAST_PLAIN, whole.frames), whole.frames)), at)]
        else:
            first = random.choice(self.units[label])
            alike = [unit for unit in self.units[label] if unit.source == first.source] or [first]
            shortest = round(random.uniform(*PLAIN_SECONDS) * FRAMES_PER_SECOND)
            while not placed or (at < shortest and len(placed) < MOST_REPEATED):
                at += random.randint(*PLAIN_GAPS) if placed else 0
                placed.append((random.choice(alike), at))
                at += placed[-1][0].frames
        return self._written(placed, placed[-1][1] + placed[-1][0].frames + TRAIL, [])

    def scene(self, scene: Scene, units: dict[str, list[WrittenUnit]] | None = None, abridge: bool = False) -> Written:
        """Composes a scene from random units, or from those in `units`."""
        chosen = self.alone if len(scene.sounds) == 1 and scene.labels[0] in self.alone else self.units
        placed, spans, count = layout(scene, units or chosen, WRITTEN)
        if abridge:
            placed, count = abridged(placed)
        return self._written(placed, count, spans)

    def _written(self, placed: list[tuple[WrittenUnit, int]], count: int, spans: list[Span]) -> Written:
        codes = self._silent(count)
        starts = []
        ends = []
        cuts = []
        for unit, at in placed:
            codes[:, at : at + unit.frames] = unit.codes
            starts.append(at)
            ends.append(at + unit.frames + TRAIL)
            if unit.broken_off:
                cuts.append(at + unit.frames)
        frames, weights = self.frames(codes, starts, ends, cuts)
        # one frame later than the sound: a target belongs to the position before its frame
        units = [Placed(unit.label, at + 1, at + 1 + unit.frames) for unit, at in placed]
        return Written(frames, weights, guides.of_units(units, 1 + len(frames)), spans)

    def clip(self, clip: Clip) -> Written:
        """Returns a scene over a background, which was rendered as a whole."""
        spans = [Span(s, 0.0, clip.data.shape[1] * HOP / 16_000) for s in clip.scene.sounds]
        frames, weights = self.frames(clip.data.astype(np.int64), [0], [clip.data.shape[1]])
        return Written(frames, weights, None, spans)

    def voices_of(self, words: list[str]) -> list[str]:
        """Lists the voices that have a take of all the words; not every voice says every digit intelligibly."""
        return [voice for voice, known in self.words.items() if all(word in known for word in words)]

    def speech(self, words: list[str], voice: str) -> tuple[np.ndarray, np.ndarray]:
        pieces = [self._silent(EDGE_FRAMES)]
        starts = []
        ends = []
        at = EDGE_FRAMES
        for i, word in enumerate(words):
            if i:
                pieces.append(self._silent(WORD_GAP))
                at += pieces[-1].shape[1]
            starts.append(at)
            pieces.append(random.choice(self.words[voice][word]).astype(np.int64))
            at += pieces[-1].shape[1]
            ends.append(at + EDGE_FRAMES)
        return self.frames(np.concatenate([*pieces, self._silent(EDGE_FRAMES)], axis=1), starts, ends)

    def frames(self, codes: np.ndarray, starts: list[int], ends: list[int], cuts: list[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Applies the delay pattern and weights each token.

        Units begin at `starts`, may be the last one at `ends`, and break off before `cuts`.
        """
        frames = self.vocabulary.delayed(codes)
        weights = np.ones(frames.shape, np.float32)
        for start in starts:
            weights[start : start + ONSET] = DECISION_WEIGHT
        weights[ends] = DECISION_WEIGHT
        streams = np.arange(frames.shape[1])
        for cut in cuts:
            weights[cut + streams, streams] = 0.0
        return frames, weights

    def _silent(self, count: int) -> np.ndarray:
        return np.repeat(self.silence[:, None], count, axis=1)
