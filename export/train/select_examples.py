"""Stage `select`: the examples that the language model learns to write, chosen by ear.

Half of all recordings are no longer recognised after so small a codec, and a small model that learns from them learns to
write what nobody recognises. Of several crops of every recording those are kept that an independent judge still names
(sounds: YAMNet, digits: PocketSphinx), a few a label, so that the model can learn them well.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from example_cache import WRITTEN_LEVELS, Clip, coarse, store, written_sound, written_string
from judges import DigitJudge, SoundJudge
from recordings import Recording
from spectral_codec import SpectralCodec

CROPS = 3  # of every sound that are listened to
SOUNDS_KEPT = 8  # of every class
TAKES_HEARD = 60  # of every digit
TAKES_KEPT = 8  # of every digit
STRINGS = 60
SHORTEST = 25  # frames of a sound


def select(training: list[Recording], codec: SpectralCodec, path: Path) -> None:
    clips = select_sounds([r for r in training if r.kind == "sound"], codec)
    digits = select_digits([r for r in training if r.kind == "digit"], codec)
    clips += [clip for _, clip in digits]
    clips += strings([recording for recording, _ in digits], codec)
    store(clips, path)


def select_sounds(recordings: list[Recording], codec: SpectralCodec) -> list[Clip]:
    """For every class the crops in which the judge ranks it highest."""
    judge, ranked = SoundJudge(), {}
    for recording in recordings:
        for _ in range(CROPS):
            codes = coarse(codec, written_sound(recording), WRITTEN_LEVELS["sound"])
            if codes.shape[1] >= SHORTEST:
                rank = judge.rank(decoded(codec, codes), recording.label)
                ranked.setdefault(recording.label, []).append((rank, random.random(), codes))
    clips = []
    for label, candidates in ranked.items():
        kept = sorted(candidates, key=lambda candidate: candidate[:2])[:SOUNDS_KEPT]
        named = sum(rank < 5 for rank, *_ in candidates)
        print(f"{label}: {named} of {len(candidates)} named, kept at ranks {[rank for rank, *_ in kept]}", flush=True)
        clips += [Clip(label, False, codes) for *_, codes in kept]
    return clips


def select_digits(recordings: list[Recording], codec: SpectralCodec) -> list[tuple[Recording, Clip]]:
    """For every digit takes that the judge reads as that digit; where those are few, others with them."""
    judge, kept = DigitJudge(), []
    for label in sorted({r.label for r in recordings}):
        matching = [r for r in recordings if r.label == label]
        takes = random.sample(matching, min(TAKES_HEARD, len(matching)))
        heard = []
        for recording in takes:
            codes = coarse(codec, written_string([recording]), WRITTEN_LEVELS["speech"])
            is_read = judge.read(decoded(codec, codes)) == [label]
            heard.append((not is_read, recording, Clip(label, True, codes)))
        print(f"{label}: {sum(not missed for missed, *_ in heard)} of {len(heard)} read", flush=True)
        heard.sort(key=lambda take: take[0])
        kept += [(recording, clip) for _, recording, clip in heard[:TAKES_KEPT]]
    return kept


def strings(recordings: list[Recording], codec: SpectralCodec) -> list[Clip]:
    """Digit strings of one speaker each, made of the takes that were kept."""
    clips = []
    for _ in range(STRINGS):
        speaker = random.choice(recordings).split
        words = random.choices([r for r in recordings if r.split == speaker], k=random.choice((2, 2, 3)))
        codes = coarse(codec, written_string(words), WRITTEN_LEVELS["speech"])
        clips.append(Clip(" ".join(w.label for w in words), True, codes))
    return clips


def decoded(codec: SpectralCodec, codes: np.ndarray) -> np.ndarray:
    return codec.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()
