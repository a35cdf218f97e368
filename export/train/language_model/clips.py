"""Stages `written` and `heard`: what the language model writes (codec codes of units) and hears (encoder features), computed once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..codec.spectral_codec import SpectralCodec
from ..data import units
from ..encoder.audio_tower import FEATURES_PER_SECOND
from ..files import write_atomically
from ..world.scenes import Scene
from . import guides
from .guides import Placed

WRITTEN_LEVELS = 6  # of the codec: what the model must write; see `encode`


@dataclass(frozen=True)
class Clip:
    """Codes [streams, frames] or features [frames, size], and what they hold: a scene, or words."""

    data: np.ndarray
    scene: Scene | None = None
    words: str | None = None
    voice: str | None = None
    counted: bool = True  # false: how often the event occurs is not known
    units: tuple[Placed, ...] = ()  # of a scene that is heard: where they lie, in seconds
    source: str = ""  # of a unit that is written: see `Unit`
    alone: bool = False  # a long stretch, for a scene that is nothing else

    def guides(self) -> np.ndarray | None:
        """Of the features of a scene whose units are known."""
        return guides.of_units(self.units, len(self.data), FEATURES_PER_SECOND, written=False) if self.units else None


def encode(codec: SpectralCodec, samples: np.ndarray) -> np.ndarray:
    """Codes [streams, frames] of a clip as the model learns to write them; the fine levels say nothing.

    What the fine levels hold of a noise is chance. A small model cannot learn it, and fine codes drawn wrongly do more
    harm to a sound than their absence.
    """
    codes = codec.encode(torch.from_numpy(units.whole(samples))[None])[0].numpy().astype(np.int16)
    codes[WRITTEN_LEVELS:] = 0
    return codes


def decode(codec: SpectralCodec, codes: np.ndarray) -> np.ndarray:
    return codec.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()


def store(clips: list[Clip], path: Path) -> None:
    flat = np.concatenate([c.data.ravel() for c in clips])
    index = [
        dict(
            shape=c.data.shape, scene=c.scene and c.scene.to_dict(), words=c.words, voice=c.voice, counted=c.counted, units=c.units,
            source=c.source, alone=c.alone,
        )  # fmt: skip
        for c in clips
    ]
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, index=header, flat=flat))
    print(f"{path.name}: {len(clips)} clips", flush=True)


def load(path: Path) -> list[Clip]:
    with np.load(path) as stored:
        index, flat = json.loads(stored["index"].tobytes()), stored["flat"]
    clips, start = [], 0
    for entry in index:
        shape = entry.pop("shape")
        end = start + int(np.prod(shape))
        scene = entry["scene"] and Scene.from_dict(entry["scene"])
        placed = tuple(Placed(*unit) for unit in entry["units"])
        clips.append(Clip(flat[start:end].reshape(shape), **{**entry, "scene": scene, "units": placed}))
        start = end
    return clips
