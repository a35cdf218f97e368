"""Families of models. Each converts a checkpoint folder to `Parts`; only it knows the files, configs and tensor names."""

from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from ..errors import ExportError
from ..options import Options
from ..parts import Checkpoint
from . import audex, ualm

_FAMILIES = (ualm, audex)


def open_checkpoint(folder: Path, options: Options) -> Checkpoint:
    """Reads a checkpoint folder of any family; refuses options that do not apply to the family."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; expected {expected()}")
    for family in _FAMILIES:
        if family.recognizes(folder):
            check_options(family, options)
            return family.open_checkpoint(folder, options)
    raise ExportError(f"{folder} is not a checkpoint of a known family; expected {expected()}")


def choose_files(paths: Collection[str]) -> tuple[ModuleType, list[str]] | None:
    """Returns the family of a repository that contains `paths`, and the paths that it reads; `None` if no family matches."""
    for family in _FAMILIES:
        if family.recognizes_listing(paths):
            return family, family.wanted(paths)
    return None


def check_options(family: ModuleType, options: Options) -> None:
    """Refuses options that do not apply to a family."""
    for field in family.UNUSED_OPTIONS:
        if getattr(options, field) is not None:
            option = "--" + field.replace("_", "-")
            raise ExportError(f"{option} is given; it does not apply to {family.NAME} checkpoints")


def expected() -> str:
    """Describes the files that each family expects."""
    return " or ".join(family.EXPECTED for family in _FAMILIES)
