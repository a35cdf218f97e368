"""Stage `written`: chooses the units that the language model learns to write.

So small a codec makes some events unrecognisable, and a small model that learns from them writes unrecognisable sounds. The
stage keeps the units that an independent judge still names (sounds: YAMNet, digits: PocketSphinx), a few of every kind, so
that the model can learn them well.

The streams of a step are drawn independently. If two units of a kind began with the same code, the model could draw one
stream from one of them and the next stream from the other, which is neither. The first code of a unit therefore belongs to no
other unit of its kind: it alone decides which one is written.

Guidance prefers few of the units: one that is not named can become most of what the model says. Each is therefore judged as
it is stored.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
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
    label = found[0].label
    event = IS_EVENT[label]

    def rank(codes: np.ndarray) -> int:
        decoded = decode(codec, codes)
        if event:
            decoded = np.tile(np.pad(decoded, (0, SAMPLING_RATE // 5)), REPEATED)
        return judge.rank(decoded, label)

    sampled = random.sample(found, min(MOST_JUDGED, len(found)))
    ranked = [(rank(encode(codec, unit.samples)), random.random(), unit) for unit in sampled]
    named = sum(rank < NAMED for rank, *_ in ranked)
    best = []
    firsts = set()
    taken = Counter()
    for _, _, unit in sorted(ranked, key=lambda entry: entry[:2]):
        if len(best) >= KEPT[event] or taken[unit.source] >= FROM_ONE_SOURCE[event]:
            continue
        codes = _distinct(unit.samples, codec, firsts, lambda codes: len(best) < LEAST_KEPT or rank(codes) < NAMED)
        if codes is not None:
            taken[unit.source] += 1
            best.append((unit, codes))
    print(f"{label}: {named} of {len(ranked)} named, {len(best)} kept, of {len(taken)} recordings", flush=True)
    return best


def _distinct(
    samples: np.ndarray, codec: SpectralCodec, firsts: set[int], accepts: Callable[[np.ndarray], bool] | None = None
) -> np.ndarray | None:
    """Returns the codes of a clip without the silence before it, and adds the first code to `firsts`.

    The clip begins up to a frame later, so that its first code is none of `firsts` and its codes are accepted; `None` if that
    does not help. A judge may name the clip as it is and not these codes.
    """
    silence = encode(codec, np.zeros(SILENT_FRAMES * units.HOP, np.float32))[0, SILENT_FRAMES // 2]
    for shift in range(0, units.HOP, units.HOP // SHIFTS):
        codes = encode(codec, np.pad(samples, (shift, 0)))
        sounding = np.flatnonzero(codes[0] != silence)
        if len(sounding) == 0:
            continue
        codes = codes[:, sounding[0] :]
        first = int(codes[0, 0])
        if first not in firsts and (accepts is None or accepts(codes)):
            firsts.add(first)
            return codes
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
    edge = np.zeros(int(EDGE_SECONDS * SAMPLING_RATE), np.float32)
    voices = defaultdict(lambda: defaultdict(list))  # word → voice → takes
    for recording in random.sample(recordings, len(recordings)):
        samples = np.concatenate([edge, augment.loud(recording.samples, units.PEAK), edge])
        voices[recording.label][recording.split].append(samples)
    clips = []
    for word, of_word in sorted(voices.items()):
        read = _takes(word, of_word, codec, lambda codes: judge.read(decode(codec, codes)) == [word]) if word in DIGITS else []
        kept = read or _takes(word, of_word, codec)
        print(f"{word}: {len(kept)} takes kept, {len(read)} of them read", flush=True)
        clips += kept
    return clips


def _takes(word: str, voices: dict[str, list[np.ndarray]], codec: SpectralCodec, accepts: Callable[[np.ndarray], bool] | None = None) -> list[Clip]:
    """Returns a few accepted takes of a word in every voice."""
    firsts = set()
    clips = []
    for voice, takes in sorted(voices.items()):
        coded = (_distinct(samples, codec, firsts, accepts) for samples in takes)
        kept = islice((codes for codes in coded if codes is not None), TAKES_KEPT)
        clips += [Clip(codes, words=word, voice=voice) for codes in kept]
    return clips
