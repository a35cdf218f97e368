"""UALM: a Qwen2 body over parallel streams, as the trainer writes its checkpoints."""

from pathlib import Path

from .checkpoint import open_checkpoint

__all__ = ["EXPECTED", "NAME", "UNUSED_OPTIONS", "open_checkpoint", "recognizes"]

NAME = "UALM"
EXPECTED = "a checkpoint folder with a train.yaml in it"
UNUSED_OPTIONS = ("xcodec", "speech_head", "speech_decoder_precision")


def recognizes(folder: Path) -> bool:
    return (folder / "train.yaml").is_file()
