"""Families of models: each turns a checkpoint folder into `Parts`, and alone knows its files, configs and names of tensors."""

from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from ..errors import ExportError
from ..options import Options
from ..parts import Checkpoint
from . import audex, ualm

_FAMILIES = (ualm, audex)


def open_checkpoint(folder: Path, options: Options) -> Checkpoint:
    """Reads a checkpoint folder of any family; refuses options that the family has no use for."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; expected {expected()}")
    for family in _FAMILIES:
        if family.recognizes(folder):
            check_options(family, options)
            return family.open_checkpoint(folder, options)
    raise ExportError(f"{folder} is no checkpoint of a known family; expected {expected()}")


def choose_files(paths: Collection[str]) -> tuple[ModuleType, list[str]] | None:
    """The family of a repository that holds `paths`, and those of them that it reads; None if no family knows it."""
    for family in _FAMILIES:
        if family.recognizes_listing(paths):
            return family, family.wanted(paths)
    return None


def check_options(family: ModuleType, options: Options) -> None:
    """Refuses options that a family has no use for."""
    for field in family.UNUSED_OPTIONS:
        if getattr(options, field) is not None:
            option = "--" + field.replace("_", "-")
            raise ExportError(f"{option} is given; {family.NAME} checkpoints have no use for it")


def expected() -> str:
    """What every family expects, in words."""
    return " or ".join(family.EXPECTED for family in _FAMILIES)
