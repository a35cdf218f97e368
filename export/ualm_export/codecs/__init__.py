"""The codecs that can be exported, chosen by the `model_type` of the codec's config."""

import importlib
from pathlib import Path
from typing import Protocol

from ..blocks.shapes import Shapes
from ..config import Config
from ..errors import ExportError
from ..graph import Storage


class Codec(Protocol):
    """The graphs of a codec. Its class is constructed from its config, the prefix of its tensors and the number of codebooks."""

    name: str
    """Name in the manifest."""
    sampling_rate: int
    hop_length: int
    books: int
    """Codebooks in use; the config may have more."""
    codebook_size: int
    decoding: dict
    """The manifest's section about decoding long sounds."""

    def tensor_shapes(self) -> Shapes:
        """Returns names in the checkpoint and shapes of all tensors that the graphs need."""

    def unused_tensors(self) -> list[str]:
        """Returns patterns of further names that the checkpoint may contain."""

    def build_encoder(self, path: Path, storage: Storage, tensors) -> None:
        """Writes the graph from samples to codes, if the package has one."""

    def build_decoder(self, path: Path, storage: Storage, tensors) -> None:
        """Writes the graph from codes to samples."""


_CLASSES = {"xcodec": ("xcodec", "XCodec"), "ualm_spectral": ("spectral", "SpectralCodec")}


def codec_from_config(config: Config, prefix: str, books: int | None = None) -> Codec:
    """Returns the codec whose tensors' names begin with `prefix`, with its first `books` codebooks or all of them."""
    model_type = config.get("model_type")
    if model_type not in _CLASSES:
        raise ExportError(f"{config.source}: model_type is {model_type!r}; supported: {', '.join(_CLASSES)}")
    module, name = _CLASSES[model_type]
    return getattr(importlib.import_module(f".{module}", __package__), name)(config, prefix, books)


def books_of(config: Config, available: int, asked: int | None) -> int:
    """Returns the number of codebooks in use; refuses more than the config has."""
    if asked is not None and asked > available:
        raise ExportError(f"{config.source}: the codec has {available} codebooks; the model uses {asked}")
    return available if asked is None else asked


def windowed(context_frames: int, indexed: bool) -> dict:
    """Describes decoding in windows with `context_frames` on each side; `indexed` decoders read their first frame's number."""
    return {"kind": "windowed", "context_frames": context_frames, "indexed": indexed}
