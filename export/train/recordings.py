"""Stage `data`: every recording of the small world as one resampled, cached archive."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from errors import TrainingError
from storage import write_atomically

SAMPLING_RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Recording:
    """One labelled clip, 16 kHz mono."""

    name: str
    kind: str  # "sound" or "digit"
    label: str  # class of the sound, or the spoken word
    split: str  # fold of the sound, or the speaker
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
        return recording.split == (self.fold if recording.kind == "sound" else self.speaker)


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
    """The recordings that `prepare` stored."""
    with np.load(archive) as stored:
        index = json.loads(stored["index"].tobytes())
        samples = stored["samples"].astype(np.float32) / 32767.0
    return [
        Recording(e["name"], e["kind"], e["label"], e["split"], samples[e["start"] : e["end"]]) for e in index
    ]


def prepare(data: Path, archive: Path) -> None:
    """Reads `DATA/esc10/CLASS/*.ogg` and `DATA/spoken-digits/*.wav` into `archive`.

    A file that cannot be read is named and left out; a folder without any usable file is an error.
    """
    index, chunks, end = [], [], 0
    for path, kind, label, part in _sound_files(data) + _digit_files(data):
        try:
            samples = read_mono(path)
        except (OSError, ValueError, RuntimeError) as error:
            print(f"left out {path}: {error}", file=sys.stderr)
            continue
        start, end = end, end + len(samples)
        index.append(dict(name=path.stem, kind=kind, label=label, split=part, start=start, end=end))
        chunks.append(np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
    for kind in ("sound", "digit"):
        if not any(entry["kind"] == kind for entry in index):
            raise TrainingError(f"no readable {kind} recordings below {data}")
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, samples=np.concatenate(chunks)))
    print(f"{len(index)} recordings, {end / SAMPLING_RATE / 60:.0f} minutes")


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
