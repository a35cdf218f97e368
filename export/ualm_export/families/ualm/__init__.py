"""UALM: a Qwen2 body over parallel streams, in the trainer's checkpoint format."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from ...weights import wanted_weights
from .checkpoint import TRAINER_WEIGHTS, check_ranks, open_checkpoint

__all__ = [
    "COMPANIONS", "EXPECTED", "LICENSE", "NAME", "UNUSED_OPTIONS", "open_checkpoint", "recognizes", "recognizes_listing", "wanted",
]  # fmt: skip

NAME = "UALM"
EXPECTED = "a checkpoint folder with a train.yaml in it"
UNUSED_OPTIONS = ("xcodec", "speech_head", "speech_decoder_precision")
LICENSE = None
COMPANIONS = {}
_FILES = ("train.yaml", "package.json", "enhancer.onnx", "enhancer.onnx.data", "*/config.json", "*/tokenizer.json", "*/preprocessor_config.json")
"""Patterns of the files to read beside the weights; * matches folders, too."""


def recognizes(folder: Path) -> bool:
    return (folder / "train.yaml").is_file()


def recognizes_listing(paths: Collection[str]) -> bool:
    """Returns whether files of these paths are a checkpoint."""
    return "train.yaml" in paths


def wanted(paths: Collection[str]) -> list[str]:
    """Returns the paths of the files to read: weights beside train.yaml, configs and tokenizer in folders."""
    check_ranks("the repository", paths)
    weights = wanted_weights([path for path in paths if "/" not in path], TRAINER_WEIGHTS)
    others = [path for path in paths if any(fnmatchcase(path, pattern) for pattern in _FILES)]
    return sorted({*weights, *others})
