"""Labelled recordings, and the archives that hold them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..audio import SAMPLING_RATE
from ..files import write_atomically

HELD_OUT = "held out"


@dataclass(frozen=True)
class Recording:
    """One labelled clip, 16 kHz mono."""

    name: str
    kind: str  # recorded: "sound" or "digit"; rendered: "made" (a sound), "clear" or "other" (voices)
    label: str  # the kind of sound, or the spoken words
    split: str  # the fold of the sound, the speaker or the voice; "held out" for made sounds that are excluded from training
    samples: np.ndarray  # float32

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLING_RATE


@dataclass(frozen=True)
class HoldOut:
    """The recordings that are kept for validation: one fold of the sounds, one speaker of the digits, the held-out made sounds."""

    fold: str = "4"
    speaker: str = "theo"

    def holds(self, recording: Recording) -> bool:
        return recording.split in {"sound": (self.fold,), "digit": (self.speaker,)}.get(recording.kind, (HELD_OUT,))


def split(recordings: list[Recording], hold_out: HoldOut | None) -> tuple[list[Recording], list[Recording]]:
    """Divides into training and validation recordings; without a hold-out all are for training."""
    if hold_out is None:
        return recordings, []
    return (
        [r for r in recordings if not hold_out.holds(r)],
        [r for r in recordings if hold_out.holds(r)],
    )


def grouped(recordings: list[Recording], kinds: tuple[str, ...], key: Callable[[Recording], str]) -> dict[str, list[Recording]]:
    """Groups the recordings of some kinds by a key."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.kind in kinds:
            groups.setdefault(key(recording), []).append(recording)
    return groups


def load(archive: Path) -> list[Recording]:
    """Loads an archive that `store` or `store_coded` wrote."""
    with np.load(archive) as stored:
        index = json.loads(stored["index"].tobytes())
        is_coded = "coded" in stored
        data = stored["coded"] if is_coded else stored["samples"].astype(np.float32) / 32767.0
    read = _decoded if is_coded else lambda part: part
    return [Recording(e["name"], e["kind"], e["label"], e["split"], read(data[e["start"] : e["end"]])) for e in index]


def _decoded(data: np.ndarray) -> np.ndarray:
    return soundfile.read(io.BytesIO(data.tobytes()), dtype="float32")[0]


def store_coded(coded: list[tuple[Recording, bytes]], archive: Path) -> None:
    """Writes an archive of recordings coded as files of a format that libsndfile reads."""
    index = []
    end = 0
    for recording, data in coded:
        start = end
        end = end + len(data)
        index.append(_entry(recording, start, end))
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    samples = np.frombuffer(b"".join(data for _, data in coded), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, coded=samples))


def _entry(recording: Recording, start: int, end: int) -> dict:
    return dict(name=recording.name, kind=recording.kind, label=recording.label, split=recording.split, start=start, end=end)


def store(recordings: list[Recording], archive: Path) -> None:
    """Writes an archive of 16-bit samples."""
    index = []
    chunks = []
    end = 0
    for recording in recordings:
        start = end
        end = end + len(recording.samples)
        index.append(_entry(recording, start, end))
        chunks.append(np.round(np.clip(recording.samples, -1, 1) * 32767).astype(np.int16))
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, samples=np.concatenate(chunks)))
