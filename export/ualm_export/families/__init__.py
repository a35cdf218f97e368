"""Families of models: each turns a checkpoint folder into `Parts`, and alone knows its files, configs and names of tensors."""

from pathlib import Path

from ..errors import ExportError
from ..parts import Checkpoint
from . import ualm

_FAMILIES = (ualm,)


def open_checkpoint(folder: Path, max_positions: int) -> Checkpoint:
    """Reads a checkpoint folder of any family; `max_positions` caps the context."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; expected {_expected()}")
    for family in _FAMILIES:
        if family.recognizes(folder):
            return family.open_checkpoint(folder, max_positions)
    raise ExportError(f"{folder} is no checkpoint of a known family; expected {_expected()}")


def _expected() -> str:
    return " or ".join(family.EXPECTED for family in _FAMILIES)
