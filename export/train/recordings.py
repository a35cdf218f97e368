"""Stage `data`: every recording of the small world, and what is made beside them, as one resampled, cached archive."""

from __future__ import annotations

import io
import json
import random
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from errors import TrainingError
from files import write_atomically

SAMPLING_RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MADE_VARIATIONS = 60  # of every made sound
MADE_HELD_OUT = range(24, 30)  # of them: what training must not hear
CLEAR_TAKES = 8  # of every digit and phrase, in each voice to speak with
OTHER_TAKES = 200  # of every digit, in voices to hear
HELD_OUT = "held out"
LAYOUT = {"sound": "esc10/CLASS/FOLD-….ogg", "digit": "spoken-digits/DIGIT_SPEAKER_TAKE.wav"}


@dataclass(frozen=True)
class Recording:
    """One labelled clip, 16 kHz mono."""

    name: str
    kind: str  # recorded: "sound" or "digit"; made here: "made" (a sound), "clear" or "other" (voices)
    label: str  # kind of sound, or the words spoken
    split: str  # fold of the sound, the speaker or the voice; "held out" for made sounds that training must not hear
    samples: np.ndarray  # float32

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLING_RATE


@dataclass(frozen=True)
class HoldOut:
    """What validation keeps away from training: one fold of the sounds, one speaker of the digits."""

    fold: str = "4"
    speaker: str = "theo"

    def holds(self, recording: Recording) -> bool:
        return recording.split in {"sound": (self.fold,), "digit": (self.speaker,)}.get(recording.kind, (HELD_OUT,))


def split(recordings: list[Recording], hold_out: HoldOut | None) -> tuple[list[Recording], list[Recording]]:
    """Training and validation recordings; without a hold-out everything trains."""
    if hold_out is None:
        return recordings, []
    return (
        [r for r in recordings if not hold_out.holds(r)],
        [r for r in recordings if hold_out.holds(r)],
    )


def read_mono(path: Path) -> np.ndarray:
    """Any file that libsndfile reads, mixed down and resampled to 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if mono.size == 0:
        raise ValueError("no samples")
    if not np.isfinite(mono).all():
        raise ValueError("samples that are not finite")
    return soxr.resample(mono, rate, SAMPLING_RATE, quality="HQ").astype(np.float32)


def load(archive: Path) -> list[Recording]:
    """The recordings that `prepare` or `store_coded` stored."""
    with np.load(archive) as stored:
        index = json.loads(stored["index"].tobytes())
        is_coded = "coded" in stored
        data = stored["coded"] if is_coded else stored["samples"].astype(np.float32) / 32767.0
    read = _decoded if is_coded else lambda part: part
    return [Recording(e["name"], e["kind"], e["label"], e["split"], read(data[e["start"] : e["end"]])) for e in index]


def _decoded(data: np.ndarray) -> np.ndarray:
    return soundfile.read(io.BytesIO(data.tobytes()), dtype="float32")[0]


def store_coded(coded: list[tuple[Recording, bytes]], archive: Path) -> None:
    """Recordings as files of a format that libsndfile reads, one after the other."""
    index, end = [], 0
    for recording, data in coded:
        start, end = end, end + len(data)
        index.append(_entry(recording, start, end))
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    samples = np.frombuffer(b"".join(data for _, data in coded), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, coded=samples))


def _entry(recording: Recording, start: int, end: int) -> dict:
    return dict(name=recording.name, kind=recording.kind, label=recording.label, split=recording.split, start=start, end=end)


def prepare(data: Path, archive: Path) -> None:
    """Reads `DATA/esc10/CLASS/*.ogg` and `DATA/spoken-digits/*.wav` into `archive`, and makes the other sounds and voices.

    A file that cannot be read is named and left out; a folder without any usable file is an error.
    """
    recorded = list(_recorded(data))
    for kind in ("sound", "digit"):
        if not any(recording.kind == kind for recording in recorded):
            raise TrainingError(f"no readable {kind} recordings below {data}: expected {LAYOUT[kind]}")
    everything = [*recorded, *_made(), *_voices()]
    store(everything, archive)
    print(f"{len(everything)} recordings, {sum(r.seconds for r in everything) / 60:.0f} minutes")


def store(recordings: list[Recording], archive: Path) -> None:
    """Recordings as samples of 16 bits."""
    index, chunks, end = [], [], 0
    for recording in recordings:
        start, end = end, end + len(recording.samples)
        index.append(_entry(recording, start, end))
        chunks.append(np.round(np.clip(recording.samples, -1, 1) * 32767).astype(np.int16))
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, samples=np.concatenate(chunks)))


def _recorded(data: Path) -> Iterator[Recording]:
    for path, kind, label, part in _sound_files(data) + _digit_files(data):
        try:
            yield Recording(path.stem, kind, label, part, read_mono(path))
        except (OSError, ValueError, RuntimeError) as error:
            print(f"left out {path}: {error}", file=sys.stderr)


def _made() -> Iterator[Recording]:
    """Every rendered sound of the small world in its variations."""
    import made_sounds
    import small_world

    for label in (label for label in made_sounds.CONCEPTS if label in small_world.CONCEPTS):
        for i in range(MADE_VARIATIONS):
            samples = made_sounds.render(label, np.random.default_rng([zlib.crc32(label.encode()), i]))
            split = HELD_OUT if i in MADE_HELD_OUT else "made"
            yield Recording(f"{label} {i}", "made", label, split, samples)


def _voices() -> Iterator[Recording]:
    """Digits and phrases in voices to speak with, and digits in many voices to hear."""
    import voices

    random.seed(0)
    for text in (*DIGITS, *voices.PHRASES):
        for voice in voices.SPOKEN_VOICES:
            for i in range(CLEAR_TAKES):
                yield Recording(f"{text} {voice} {i}", "clear", text, voice, voices.clear_voice(text, voice))
    for text in DIGITS:
        for i in range(OTHER_TAKES):
            yield Recording(f"{text} other {i}", "other", text, "synthetic", voices.any_voice(text))


def _sound_files(data: Path) -> list[tuple[Path, str, str, str]]:
    """ESC-10: the folder names the class, the first digit of the file name is the fold."""
    return [
        (path, "sound", path.parent.name.replace("_", " "), path.name[0])
        for path in sorted((data / "esc10").glob("*/*.ogg"))
    ]


def _digit_files(data: Path) -> list[tuple[Path, str, str, str]]:
    """Free Spoken Digit Dataset: `DIGIT_SPEAKER_TAKE.wav`."""
    files = []
    for path in sorted((data / "spoken-digits").glob("?_*_*.wav")):
        digit, speaker, _ = path.stem.split("_")
        if digit.isdigit():
            files.append((path, "digit", DIGITS[int(digit)], speaker))
    return files
