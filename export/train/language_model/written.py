"""Stage `written`: chooses the units that the language model learns to write.

So small a codec makes some events unrecognisable, and a small model that learns from them writes unrecognisable sounds. The
stage keeps the units that an independent judge still names (sounds: YAMNet, digits: PocketSphinx), a few of every kind, so
that the model can learn them well.

The streams of a step are drawn independently. If two units of a kind began with the same code, the model could draw one
stream from one of them and the next stream from the other, which is neither. The first code of a unit therefore belongs to no
other unit of its kind: it alone decides which one is written.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
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

KEPT = {True: 24, False: 6}  # units of every event, and of every continuing sound; fewer if the judge names fewer
LEAST_KEPT = 3  # minimum, even if the judge names fewer
SHIFTS = 8  # beginnings of a unit within a frame that are tried for a first code of its own
FROM_ONE_SOURCE = {True: 4, False: 2}  # maximum number of units of one recording, for events and for continuing sounds
STRETCHES = 3  # judged stretches of each recording of a continuing sound
TAKES_KEPT = 2  # of every word in every voice
NAMED = 5  # a sound is named if its rank is below this
MOST_JUDGED = 90
REPEATED = 3  # copies of a short event in the judged clip
OVER_VARIANTS = 2  # of every event over every background
EDGE_SECONDS = 0.04  # silence around spoken words
SILENT_FRAMES = 64  # of the clip of silence


def select(training: list[Recording], codec: SpectralCodec, path: Path) -> None:
    found = units.extract(training, IS_EVENT, units.LONG_STRETCH, STRETCHES)
    best = {label: _best(of_label, codec) for label, of_label in found.items()}
    clips = [clip for label, kept in best.items() for unit, codes in kept for clip in _clips(unit, codes, IS_EVENT[label])]
    clips += _over_backgrounds({label: [unit for unit, _ in kept] for label, kept in best.items()}, codec)
    clips += _words([r for r in training if r.kind == "clear"], codec)
    clips.append(Clip(encode(codec, np.zeros(SILENT_FRAMES * units.HOP, np.float32))))
    store(clips, path)


def _clips(unit: Unit, codes: np.ndarray, event: bool) -> list[Clip]:
    """Returns the clips of a unit: of a continuing sound its beginning, for scenes, and the whole, for scenes of it alone."""
    scene = Scene((Sound(unit.label),))
    if event:
        return [Clip(codes, scene=scene, source=unit.source)]
    beginning = codes[:, : int(random.uniform(*units.STRETCH) * SAMPLING_RATE / units.HOP)]
    return [Clip(beginning, scene=scene, source=unit.source), Clip(codes, scene=scene, source=unit.source, alone=True)]


def _best(found: list[Unit], codec: SpectralCodec) -> list[tuple[Unit, np.ndarray]]:
    """Chooses the units of a kind with the best ranks after the codec, few of one source, with their codes."""
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
    firsts = set()
    taken = Counter()
    for rank, _, unit in sorted(ranked, key=lambda entry: entry[:2]):
        enough = len(best) >= (KEPT[event] if rank < NAMED else LEAST_KEPT)
        if enough or taken[unit.source] >= FROM_ONE_SOURCE[event]:
            continue
        codes = _distinct(unit.samples, codec, firsts)
        if codes is not None:
            taken[unit.source] += 1
            best.append((unit, codes))
    print(f"{label}: {named} of {len(ranked)} named, {len(best)} kept, of {len(taken)} recordings", flush=True)
    return best


def _distinct(samples: np.ndarray, codec: SpectralCodec, firsts: set[int]) -> np.ndarray | None:
    """Returns the codes of a clip without the silence before it, and adds the first code to `firsts`.

    The clip begins up to a frame later, so that its first code is none of `firsts`; `None` if that does not help.
    """
    silence = encode(codec, np.zeros(SILENT_FRAMES * units.HOP, np.float32))[0, SILENT_FRAMES // 2]
    for shift in range(0, units.HOP, units.HOP // SHIFTS):
        codes = encode(codec, np.pad(samples, (shift, 0)))
        sounding = np.flatnonzero(codes[0] != silence)
        if len(sounding) and int(codes[0, sounding[0]]) not in firsts:
            firsts.add(int(codes[0, sounding[0]]))
            return codes[:, sounding[0] :]
    return None


def _over_backgrounds(kept: dict[str, list[Unit]], codec: SpectralCodec) -> list[Clip]:
    clips = []
    for event in (label for label in OVER_BACKGROUND if label in kept):
        for background in (label for label in BACKGROUNDS if label in kept):
            firsts = set()
            for i in range(OVER_VARIANTS):
                scene = Scene((Sound(event, 1 + i % 3 if IS_EVENT[event] else 1),), background)
                samples, _ = rendering.render(scene, kept)
                codes = _distinct(samples, codec, firsts)
                if codes is not None:
                    clips.append(Clip(codes, scene=scene))
    return clips


def _words(recordings: list[Recording], codec: SpectralCodec) -> list[Clip]:
    """Chooses takes of every word in every voice; of a digit those that the judge reads, if there are any."""
    judge = DigitJudge()
    takes = {}
    edge = np.zeros(int(EDGE_SECONDS * SAMPLING_RATE), np.float32)
    for recording in recordings:
        samples = np.concatenate([edge, augment.loud(recording.samples, units.PEAK), edge])
        missed = recording.label in DIGITS and judge.read(decode(codec, encode(codec, samples))) != [recording.label]
        takes.setdefault((recording.label, recording.split), []).append((missed, random.random(), samples))
    digits = [take for (label, _), group in takes.items() if label in DIGITS for take in group]
    print(f"{sum(not missed for missed, *_ in digits)} of {len(digits)} spoken digits read", flush=True)
    read = {label for (label, _), group in takes.items() if not all(missed for missed, *_ in group)}
    clips = []
    firsts = defaultdict(set)
    for (label, voice), group in takes.items():
        for missed, _, samples in sorted(group, key=lambda take: take[:2])[:TAKES_KEPT]:
            codes = None if missed and label in read else _distinct(samples, codec, firsts[label])
            if codes is not None:
                clips.append(Clip(codes, words=label, voice=voice))
    return clips
