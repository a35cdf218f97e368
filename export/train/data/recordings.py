"""Stage `data`: every recording of the small world, and what is made beside them, as one resampled, cached archive."""

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


def grouped(recordings: list[Recording], kinds: tuple[str, ...], key: Callable[[Recording], str]) -> dict[str, list[Recording]]:
    """Recordings of some kinds, grouped by a key."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.kind in kinds:
            groups.setdefault(key(recording), []).append(recording)
    return groups


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


def store(recordings: list[Recording], archive: Path) -> None:
    """Recordings as samples of 16 bits."""
    index, chunks, end = [], [], 0
    for recording in recordings:
        start, end = end, end + len(recording.samples)
        index.append(_entry(recording, start, end))
        chunks.append(np.round(np.clip(recording.samples, -1, 1) * 32767).astype(np.int16))
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(archive, lambda file: np.savez(file, index=header, samples=np.concatenate(chunks)))
