"""Stage `written`: chooses the units that the language model learns to write.

So small a codec makes some events unrecognisable, and a small model that learns from them writes unrecognisable sounds. The
stage keeps the units that an independent judge still names (sounds: YAMNet, digits: PocketSphinx), a few of every kind, so
that the model can learn them well.

The streams of a step are drawn independently. If two units of a kind began with the same code, the model could draw one
stream from one of them and the next stream from the other, which is neither. The first code of a unit therefore belongs to no
other unit of its kind: it alone decides which one is written.

Guidance prefers few of the units: one that the judge names only sometimes can become all that the model writes. Each is
therefore judged as it is stored, and as plain requests have it: an event repeated with short and with long gaps, a
continuing sound at its shortest and whole, a digit at several phases of the decoder's carriers.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from ..audio import SAMPLING_RATE, augment
from ..codec.spectral_codec import SpectralCodec
from ..data import rendering, units
from ..data.recordings import Recording
from ..data.units import Unit
from ..evaluation.judges import DigitJudge, SoundJudge
from ..sounds.voices import DIGITS
from ..world.scenes import BACKGROUNDS, OVER_BACKGROUND, Scene, Sound
from ..world.small_world import IS_EVENT
from .clips import Clip, decode, encode, store
from .pen import LEAD, LEAST_PLAIN, PLAIN_GAPS

KEPT = {True: 24, False: 6}  # units of every event, and of every continuing sound; fewer if the judge names fewer
LEAST_KEPT = 3  # minimum, even if the judge names fewer
SHIFTS = 8  # beginnings of a unit within a frame that are tried for a first code of its own
FROM_ONE_SOURCE = {True: 4, False: 2}  # maximum number of units of one recording, for events and for continuing sounds
STRETCHES = 3  # judged stretches of each recording of a continuing sound
TAKES_KEPT = 2  # of every word in every voice
NAMED = 5  # a sound is named if its rank is below this
MOST_JUDGED = 90
REPEATED = 3  # copies of an event in a judged clip
WORD_LEADS = (0, 3, 4, 5)  # silent frames before a judged digit
OVER_VARIANTS = 2  # of every event over every background
EDGE_SECONDS = 0.04  # silence around spoken words
SILENT_FRAMES = 64  # of the clip of silence


def select(training: list[Recording], codec: SpectralCodec, path: Path) -> None:
    selector = Selector(codec)
    found = units.extract(training, IS_EVENT, units.LONG_STRETCH, STRETCHES)
    best = {label: selector.best(of_label) for label, of_label in found.items()}
    clips = [clip for label, kept in best.items() for unit, codes in kept for clip in _clips(unit, codes, IS_EVENT[label])]
    clips += selector.over_backgrounds({label: [unit for unit, _ in kept] for label, kept in best.items()})
    clips += selector.words([r for r in training if r.kind == "clear"])
    clips.append(Clip(selector.silent(SILENT_FRAMES)))
    store(clips, path)


def _clips(unit: Unit, codes: np.ndarray, event: bool) -> list[Clip]:
    """Returns the clips of a unit: of a continuing sound its beginning, for scenes, and the whole, for scenes of it alone."""
    scene = Scene((Sound(unit.label),))
    if event:
        return [Clip(codes, scene=scene, source=unit.source)]
    beginning = codes[:, : int(random.uniform(*units.STRETCH) * SAMPLING_RATE / units.HOP)]
    return [Clip(beginning, scene=scene, source=unit.source), Clip(codes, scene=scene, source=unit.source, alone=True)]


class Selector:
    """Chooses units that the judges name after a codec."""

    def __init__(self, codec: SpectralCodec):
        self._codec = codec
        self._silence = encode(codec, np.zeros(SILENT_FRAMES * units.HOP, np.float32))[:, SILENT_FRAMES // 2]
        self._sounds = SoundJudge()
        self._digits = DigitJudge()

    def best(self, found: list[Unit]) -> list[tuple[Unit, np.ndarray]]:
        """Chooses the units of a kind with the best ranks, few of one source, with their codes."""
        label = found[0].label
        event = IS_EVENT[label]
        sampled = random.sample(found, min(MOST_JUDGED, len(found)))
        ranked = [(self._rank(encode(self._codec, unit.samples), label), random.random(), unit) for unit in sampled]
        named = sum(rank < NAMED for rank, *_ in ranked)
        best = []
        firsts = set()
        taken = Counter()
        for rank, _, unit in sorted(ranked, key=lambda entry: entry[:2]):
            if len(best) >= (KEPT[event] if rank < NAMED else LEAST_KEPT):
                break
            if taken[unit.source] >= FROM_ONE_SOURCE[event]:
                continue
            codes = self._distinct(unit.samples, firsts, lambda codes: len(best) < LEAST_KEPT or self._rank(codes, label) < NAMED)
            if codes is not None:
                taken[unit.source] += 1
                best.append((unit, codes))
        print(f"{label}: {named} of {len(ranked)} named, {len(best)} kept, of {len(taken)} recordings", flush=True)
        return best

    def over_backgrounds(self, kept: dict[str, list[Unit]]) -> list[Clip]:
        """Renders every event over every background."""
        clips = []
        for event in (label for label in OVER_BACKGROUND if label in kept):
            for background in (label for label in BACKGROUNDS if label in kept):
                firsts = set()
                for i in range(OVER_VARIANTS):
                    scene = Scene((Sound(event, 1 + i % 3 if IS_EVENT[event] else 1),), background)
                    samples, _ = rendering.render(scene, kept)
                    codes = self._distinct(samples, firsts)
                    if codes is not None:
                        clips.append(Clip(codes, scene=scene))
        return clips

    def words(self, recordings: list[Recording]) -> list[Clip]:
        """Chooses takes of every word in every voice; of a digit those that the judge reads, if there are any."""
        edge = np.zeros(int(EDGE_SECONDS * SAMPLING_RATE), np.float32)
        voices = defaultdict(lambda: defaultdict(list))  # word → voice → takes
        for recording in random.sample(recordings, len(recordings)):
            samples = np.concatenate([edge, augment.loud(recording.samples, units.PEAK), edge])
            voices[recording.label][recording.split].append(samples)
        clips = []
        for word, of_word in sorted(voices.items()):
            read = self._takes(word, of_word, partial(self._is_read, word)) if word in DIGITS else []
            kept = read or self._takes(word, of_word)
            print(f"{word}: {len(kept)} takes kept, {len(read)} of them read", flush=True)
            clips += kept
        return clips

    def silent(self, count: int) -> np.ndarray:
        """Returns the codes of `count` frames of silence."""
        return np.repeat(self._silence[:, None], count, axis=1)

    def _takes(self, word: str, voices: dict[str, list[np.ndarray]], accepts: Callable[[np.ndarray], bool] | None = None) -> list[Clip]:
        """Returns a few accepted takes of a word in every voice."""
        firsts = set()
        clips = []
        for voice, takes in sorted(voices.items()):
            coded = (self._distinct(samples, firsts, accepts) for samples in takes)
            kept = islice((codes for codes in coded if codes is not None), TAKES_KEPT)
            clips += [Clip(codes, words=word, voice=voice) for codes in kept]
        return clips

    def _distinct(self, samples: np.ndarray, firsts: set[int], accepts: Callable[[np.ndarray], bool] | None = None) -> np.ndarray | None:
        """Returns the codes of a clip without the silence before it, and adds the first code to `firsts`.

        The clip begins up to a frame later, so that its first code is none of `firsts` and its codes are accepted; `None` if
        that does not help. A judge may name the clip as it is and not these codes.
        """
        for shift in range(0, units.HOP, units.HOP // SHIFTS):
            codes = encode(self._codec, np.pad(samples, (shift, 0)))
            sounding = np.flatnonzero(codes[0] != self._silence[0])
            if len(sounding) == 0:
                continue
            codes = codes[:, sounding[0] :]
            first = int(codes[0, 0])
            if first not in firsts and (accepts is None or accepts(codes)):
                firsts.add(first)
                return codes
        return None

    def _rank(self, codes: np.ndarray, label: str) -> int:
        """Returns the worst of the judge's ranks of a unit in plain requests."""
        if IS_EVENT[label]:
            trials = [np.concatenate([self.silent(LEAD), *[codes, self.silent(gap)] * REPEATED], axis=1) for gap in PLAIN_GAPS]
        else:
            trials = [codes[:, :LEAST_PLAIN], codes]
        return max(self._sounds.rank(decode(self._codec, trial), label) for trial in trials)

    def _is_read(self, word: str, codes: np.ndarray) -> bool:
        """Returns whether the judge reads a word wherever it begins."""
        trials = (np.concatenate([self.silent(lead), codes], axis=1) for lead in WORD_LEADS)
        return all(self._digits.read(decode(self._codec, trial)) == [word] for trial in trials)
