"""Families of models: each turns a checkpoint folder into `Parts`, and alone knows its files, configs and names of tensors."""

from pathlib import Path

from ..errors import ExportError
from ..options import Options
from ..parts import Checkpoint
from . import audex, ualm

_FAMILIES = (ualm, audex)


def open_checkpoint(folder: Path, options: Options) -> Checkpoint:
    """Reads a checkpoint folder of any family; refuses options that the family has no use for."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; expected {_expected()}")
    for family in _FAMILIES:
        if family.recognizes(folder):
            _check_options(family, options)
            return family.open_checkpoint(folder, options)
    raise ExportError(f"{folder} is no checkpoint of a known family; expected {_expected()}")


def _check_options(family, options: Options) -> None:
    for field in family.UNUSED_OPTIONS:
        if getattr(options, field) is not None:
            option = "--" + field.replace("_", "-")
            raise ExportError(f"{option} is given; {family.NAME} checkpoints have no use for it")


def _expected() -> str:
    return " or ".join(family.EXPECTED for family in _FAMILIES)
