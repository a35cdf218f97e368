"""Clips of the training examples: codec codes that the model writes, or encoder features that it hears; and their archive."""

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

WRITTEN_LEVELS = 6  # of the codec; the model writes code 0 in the others, see `encode`


@dataclass(frozen=True)
class Clip:
    """Codes [streams, frames] or features [frames, size], and their content: a scene or words."""

    data: np.ndarray
    scene: Scene | None = None
    words: str | None = None
    voice: str | None = None
    counted: bool = True  # false: the number of events is unknown
    units: tuple[Placed, ...] = ()  # of a scene that is heard: its units' positions, in seconds
    source: str = ""  # of a unit that is written: `Unit.source`
    alone: bool = False  # a long stretch, for a scene with no other sound

    def guides(self) -> np.ndarray | None:
        """Returns the guides of the features if the positions of the units are known."""
        return guides.of_units(self.units, len(self.data), FEATURES_PER_SECOND, written=False) if self.units else None


def encode(codec: SpectralCodec, samples: np.ndarray) -> np.ndarray:
    """Encodes a clip to codes [streams, frames] as the model learns to write them, with code 0 in the fine levels.

    The fine levels of a noise are random. A small model cannot learn them, and wrong fine codes harm a sound more than their
    absence.
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
        index = json.loads(stored["index"].tobytes())
        flat = stored["flat"]
    clips = []
    start = 0
    for entry in index:
        shape = entry.pop("shape")
        end = start + int(np.prod(shape))
        scene = entry["scene"] and Scene.from_dict(entry["scene"])
        placed = tuple(Placed(*unit) for unit in entry["units"])
        clips.append(Clip(flat[start:end].reshape(shape), **{**entry, "scene": scene, "units": placed}))
        start = end
    return clips
