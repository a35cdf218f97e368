"""Atomic writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import TrainingError


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes beside `path` and renames, so that an interrupt or a full disk leaves the old file unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
