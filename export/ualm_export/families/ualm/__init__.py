"""UALM: a Qwen2 body over parallel streams, as the trainer writes its checkpoints."""

from pathlib import Path

from .checkpoint import open_checkpoint

__all__ = ["EXPECTED", "open_checkpoint", "recognizes"]

EXPECTED = "a checkpoint folder with a train.yaml in it"


def recognizes(folder: Path) -> bool:
    return (folder / "train.yaml").is_file()
