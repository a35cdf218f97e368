"""The codecs that can be exported, chosen by the `model_type` of the codec's config."""

import importlib
from pathlib import Path
from typing import Protocol

from .config import Config
from .errors import ExportError
from .graph import Storage


class Codec(Protocol):
    """What the exporter asks of a codec. Its class is made from its config: `XCodec(config)`."""

    kind: str
    """Name in the manifest."""
    sampling_rate: int
    hop_length: int
    codebook_size: int
    quantizers: int
    """Levels that the config speaks of; a checkpoint may use fewer, its number of streams."""
    context_frames: int
    indexed: bool
    """Whether the decoder's graph has the input `first_frame`."""

    def tensor_shapes(self, streams: int) -> dict[str, tuple[int, ...]]:
        """Full names and shapes of all tensors that the two graphs need."""

    def unused_tensors(self, streams: int) -> list[str]:
        """Patterns of full names that the checkpoint may hold besides."""

    def build_encoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """Writes codec_encoder.onnx by the contract."""

    def build_decoder(self, path: Path, storage: Storage, streams: int, tensors) -> None:
        """Writes codec_decoder.onnx by the contract."""


_CLASSES = {"xcodec": ("xcodec", "XCodec"), "ualm_spectral": ("spectral_codec", "SpectralCodec")}


def codec_from_config(config: Config) -> Codec:
    model_type = config.get("model_type")
    if model_type not in _CLASSES:
        raise ExportError(f"{config.source}: model_type is {model_type!r}; implemented are {', '.join(_CLASSES)}")
    module, name = _CLASSES[model_type]
    return getattr(importlib.import_module(f".{module}", __package__), name)(config)


def codec_manifest(codec: Codec) -> dict:
    names = ("kind", "sampling_rate", "hop_length", "codebook_size", "context_frames", "indexed")
    return {name: getattr(codec, name) for name in names}
