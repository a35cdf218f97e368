"""Stage `data`: reads all recordings of the small world, and renders the other sounds and voices."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..audio import SAMPLING_RATE
from ..errors import TrainingError
from ..sounds import voices
from ..sounds.concepts import CONCEPTS as MADE
from ..sounds.concepts import render
from ..sounds.voices import DIGITS, PHRASES
from ..world.small_world import CONCEPTS
from .recordings import HELD_OUT, Recording, store

MADE_VARIATIONS = 60  # of every made sound
MADE_HELD_OUT = range(24, 30)  # of the variations
CLEAR_TAKES = 8  # of every digit and phrase, in each voice to speak with
OTHER_TAKES = 800  # of every digit, in voices to hear
LAYOUT = {"sound": "esc10/CLASS/FOLD-….ogg", "digit": "spoken-digits/DIGIT_SPEAKER_TAKE.wav"}


def prepare(data: Path, archive: Path) -> None:
    """Reads `DATA/esc10/CLASS/*.ogg` and `DATA/spoken-digits/*.wav`, renders the other sounds and voices, and writes all to `archive`.

    An unreadable file is reported and skipped. A folder without any usable file is an error.
    """
    recorded = list(_recorded(data))
    for kind in ("sound", "digit"):
        if not any(recording.kind == kind for recording in recorded):
            raise TrainingError(f"no readable {kind} recordings below {data}: expected {LAYOUT[kind]}")
    everything = [*recorded, *_made(), *_voices()]
    store(everything, archive)
    print(f"{len(everything)} recordings, {sum(r.seconds for r in everything) / 60:.0f} minutes")


def read_mono(path: Path) -> np.ndarray:
    """Reads any file that libsndfile supports, mixed down and resampled to 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if mono.size == 0:
        raise ValueError("no samples")
    if not np.isfinite(mono).all():
        raise ValueError("samples that are not finite")
    return soxr.resample(mono, rate, SAMPLING_RATE, quality="HQ").astype(np.float32)


def _recorded(data: Path) -> Iterator[Recording]:
    for path, kind, label, part in _sound_files(data) + _digit_files(data):
        try:
            yield Recording(path.stem, kind, label, part, read_mono(path))
        except (OSError, ValueError, RuntimeError) as error:
            print(f"skipped {path}: {error}", file=sys.stderr)


def _made() -> Iterator[Recording]:
    """Renders every made sound of the small world in its variations."""
    for label in (label for label in MADE if label in CONCEPTS):
        for i in range(MADE_VARIATIONS):
            samples = render(label, np.random.default_rng([zlib.crc32(label.encode()), i]))
            split = HELD_OUT if i in MADE_HELD_OUT else "made"
            yield Recording(f"{label} {i}", "made", label, split, samples)


def _voices() -> Iterator[Recording]:
    """Synthesizes digits and phrases in the voices to speak with, and digits in many voices to listen to."""
    random.seed(0)
    for text in (*DIGITS, *PHRASES):
        for voice in voices.SPOKEN_VOICES:
            for i in range(CLEAR_TAKES):
                yield Recording(f"{text} {voice} {i}", "clear", text, voice, voices.clear_voice(text, voice))
    for digit, text in enumerate(DIGITS):
        for i in range(OTHER_TAKES):
            yield Recording(f"{text} other {i}", "other", text, "synthetic", voices.any_voice(digit))


def _sound_files(data: Path) -> list[tuple[Path, str, str, str]]:
    """Lists the files of ESC-10: the folder names the class, the first digit of the file name is the fold."""
    return [
        (path, "sound", path.parent.name.replace("_", " "), path.name[0])
        for path in sorted((data / "esc10").glob("*/*.ogg"))
    ]


def _digit_files(data: Path) -> list[tuple[Path, str, str, str]]:
    """Lists the files of the Free Spoken Digit Dataset: `DIGIT_SPEAKER_TAKE.wav`."""
    files = []
    for path in sorted((data / "spoken-digits").glob("?_*_*.wav")):
        digit, speaker, _ = path.stem.split("_")
        if digit.isdigit():
            files.append((path, "digit", DIGITS[int(digit)], speaker))
    return files
