"""Checks the made sounds, or writes some of them to listen to.

    python=$(make --silent train-python)
    PYTHONPATH=export "$python" -m train.evaluation.made_sounds --check

`sounds.concepts.CONCEPTS` holds the kinds that a judge (YAMNet) recognises in at least three of four variations; `--check` repeats
that test.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import soundfile

from ..errors import TrainingError
from ..sounds.concepts import CONCEPTS, render
from ..sounds.waves import RATE
from .judges import SoundJudge

LEAST_SHARE = 0.75
REPEATED_UP_TO = 1.5  # seconds; shorter events are judged in groups of three, as they are heard in scenes


def judged_clip(label: str, rng: np.random.Generator) -> np.ndarray:
    """Returns the clip for the judge: one sound, or three short events with short pauses."""
    clip = render(label, rng)
    if len(clip) >= REPEATED_UP_TO * RATE:
        return clip
    pieces = [clip]
    for _ in range(2):
        pieces += [np.zeros(int(rng.uniform(0.05, 0.3) * RATE), np.float32), render(label, rng)]
    return np.concatenate(pieces)


def check(labels: list[str], variations: int) -> bool:
    """Prints the share of variations that the judge recognises; returns whether every concept reaches `LEAST_SHARE`."""
    judge = SoundJudge()
    good = True
    for label in labels:
        rngs = [_rng(label, i) for i in range(variations)]
        render(label, _rng(label, 0))  # renders the notes, which are cached
        start = time.perf_counter()
        clips = [render(label, _rng(label, i)) for i in range(variations)]
        cost = (time.perf_counter() - start) / variations * 1000
        _check_form(label, clips)
        named = [judge.top(judged_clip(label, rng)) for rng in rngs]
        share = float(np.mean([bool(CONCEPTS[label].accepted & set(names)) for names in named]))
        first = [next((n for n in names if n not in ("Music", "Musical instrument")), "") for names in named]
        common = max(set(first), key=first.count)
        mark = "" if share >= LEAST_SHARE else "  TOO SELDOM"
        print(f"{label:20s} {share:.2f} {cost:6.1f} ms, mostly heard as {common}{mark}", flush=True)
        good &= share >= LEAST_SHARE
    return good


def _check_form(label: str, clips: list[np.ndarray]) -> None:
    """Raises `TrainingError` if a clip breaks the promises of `render`."""
    shortest, longest = (0.15, 1.25) if CONCEPTS[label].event else (1.9, 3.05)
    for clip in clips:
        seconds = len(clip) / RATE
        peak = float(np.abs(clip).max())
        sound = clip.dtype == np.float32 and np.isfinite(clip).all() and 0.3 < peak <= 0.9001
        if not sound or not shortest <= seconds <= longest:
            raise TrainingError(
                f"{label}: found a clip of {seconds:.2f} s, {clip.dtype}, peak {peak:.2f}; "
                f"expected {shortest}..={longest} s, finite float32, peak 0.3..=0.9"
            )
    if any(len(a) == len(b) and np.allclose(a, b) for a, b in zip(clips, clips[1:])):
        raise TrainingError(f"{label}: two variations are equal; expected a new sound for every state of the random generator")


def write(labels: list[str], folder: Path, variations: int) -> None:
    """Writes WAV files of each concept, for listening."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in labels:
        for i in range(variations):
            soundfile.write(folder / f"{label.replace(' ', '_')}_{i}.wav", render(label, _rng(label, i)), RATE)


def _rng(label: str, number: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(label.encode()), number])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="ask the judge about every concept")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write a WAV of every concept")
    parser.add_argument("--variations", type=int, help="variations of each concept (default: 12 with --check, 1 with --write)")
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="only these concepts")
    given = parser.parse_args()
    unknown = set(given.labels) - set(CONCEPTS)
    if unknown:
        parser.error(f"unknown concepts: {', '.join(sorted(unknown))}; expected some of {', '.join(CONCEPTS)}")
    if not (given.check or given.write):
        parser.error("nothing to do; expected --check, --write DIR or both")
    if given.variations is not None and given.variations < 1:
        parser.error(f"argument --variations: {given.variations} is not a count; expected a whole number, 1 or more")
    labels = given.labels or list(CONCEPTS)
    try:
        if given.write:
            write(labels, given.write, given.variations or 1)
        return 0 if not given.check or check(labels, given.variations or 12) else 1
    except (TrainingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
