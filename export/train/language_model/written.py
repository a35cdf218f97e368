"""Stage `written`: chooses the units that the language model learns to write.

So small a codec makes some events unrecognisable, and a small model that learns from them writes unrecognisable sounds. The
stage keeps the units that an independent judge still names (sounds: YAMNet, digits: PocketSphinx), a few of every kind, so
that the model can learn them well.
"""

from __future__ import annotations

import random
from collections import Counter
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

KEPT = 24  # units of every sound, fewer if the judge names fewer: ten seeds draw eight different ones of 24
LEAST_KEPT = 6  # minimum, even if the judge names fewer
SHORT_KEPT = 10  # stretches of a continuing sound for scenes, in addition to the long ones
FROM_ONE_SOURCE = {True: 4, False: 2}  # maximum number of units of one recording, for events and for continuing sounds
STRETCHES = 3  # judged stretches of each recording of a continuing sound
TAKES_KEPT = 2  # of every word in every voice
NAMED = 5  # a sound is named if its rank is below this
MOST_JUDGED = 90
REPEATED = 3  # copies of a short event in the judged clip
OVER_VARIANTS = 4  # of every event over every background
EDGE_SECONDS = 0.04  # silence around spoken words


def select(training: list[Recording], codec: SpectralCodec, path: Path) -> None:
    short = {label: _best(found, codec, SHORT_KEPT) for label, found in units.extract(training, IS_EVENT).items() if not IS_EVENT[label]}
    long = units.extract(training, IS_EVENT, units.LONG_STRETCH, STRETCHES)
    long = {label: _best(found, codec, KEPT) for label, found in long.items()}
    in_scenes = {label: short.get(label, found) for label, found in long.items()}
    clips = [_clip(unit, codec) for found in in_scenes.values() for unit in found]
    clips += [_clip(unit, codec, alone=True) for label in short for unit in long[label]]
    clips += _over_backgrounds(in_scenes, codec)
    clips += _words([r for r in training if r.kind == "clear"], codec)
    clips.append(Clip(encode(codec, np.zeros(64 * units.HOP, np.float32))))
    store(clips, path)


def _clip(unit: Unit, codec: SpectralCodec, alone: bool = False) -> Clip:
    return Clip(encode(codec, unit.samples), scene=Scene((Sound(unit.label),)), source=unit.source, alone=alone)


def _best(found: list[Unit], codec: SpectralCodec, most: int) -> list[Unit]:
    """Chooses up to `most` units with the best ranks of their kind after the codec, few of one source."""
    judge = SoundJudge()
    ranked = []
    label = found[0].label
    event = IS_EVENT[label]
    for unit in random.sample(found, min(MOST_JUDGED, len(found))):
        decoded = decode(codec, encode(codec, unit.samples))
        if event:
            decoded = np.tile(np.pad(decoded, (0, SAMPLING_RATE // 5)), REPEATED)
        ranked.append((judge.rank(decoded, label), random.random(), unit))
    named = sum(rank < NAMED for rank, *_ in ranked)
    best = []
    taken = Counter()
    for rank, _, unit in sorted(ranked, key=lambda entry: entry[:2]):
        enough = len(best) >= (most if rank < NAMED else LEAST_KEPT)
        if not enough and taken[unit.source] < FROM_ONE_SOURCE[event]:
            taken[unit.source] += 1
            best.append(unit)
    print(f"{label}: {named} of {len(ranked)} named, {len(best)} kept, of {len(taken)} recordings", flush=True)
    return best


def _over_backgrounds(kept: dict[str, list[Unit]], codec: SpectralCodec) -> list[Clip]:
    clips = []
    for event in (label for label in OVER_BACKGROUND if label in kept):
        for background in (label for label in BACKGROUNDS if label in kept):
            for i in range(OVER_VARIANTS):
                scene = Scene((Sound(event, 1 + i % 3 if IS_EVENT[event] else 1),), background)
                samples, _ = rendering.render(scene, kept)
                clips.append(Clip(encode(codec, samples), scene=scene))
    return clips


def _words(recordings: list[Recording], codec: SpectralCodec) -> list[Clip]:
    """Chooses takes of every word in every voice; of a digit those that the judge reads, if there are any."""
    judge = DigitJudge()
    takes = {}
    edge = np.zeros(int(EDGE_SECONDS * SAMPLING_RATE), np.float32)
    for recording in recordings:
        samples = np.concatenate([edge, augment.loud(recording.samples, units.PEAK), edge])
        codes = encode(codec, samples)
        missed = recording.label in DIGITS and judge.read(decode(codec, codes)) != [recording.label]
        takes.setdefault((recording.label, recording.split), []).append((missed, random.random(), codes))
    digits = [take for (label, _), group in takes.items() if label in DIGITS for take in group]
    print(f"{sum(not missed for missed, *_ in digits)} of {len(digits)} spoken digits read", flush=True)
    read = {label for (label, _), group in takes.items() if not all(missed for missed, *_ in group)}
    return [
        Clip(codes, words=label, voice=voice)
        for (label, voice), group in takes.items()
        for missed, _, codes in sorted(group, key=lambda take: take[:2])[:TAKES_KEPT]
        if not missed or label not in read
    ]
