"""Compares the tensors of a checkpoint with those that the graphs need."""

import re
from collections.abc import Mapping

from .errors import ExportError, listing


def check_inventory(tensors: Mapping, expected: dict[str, tuple[int, ...]], unused: list[str]) -> None:
    """Raises one error that lists all missing, misshapen and unknown tensors.

    `unused` are patterns (regular expressions over the whole name) of tensors that inference does not need.
    """
    missing = [f"{name} {list(shape)}" for name, shape in expected.items() if name not in tensors]
    misshapen = [
        f"{name}: expected {list(shape)}, found {list(tensors[name].shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    known = re.compile("|".join(f"(?:{pattern})" for pattern in unused) or r"(?!)")
    unknown = [
        f"{name} {list(tensors[name].shape)}"
        for name in sorted(tensors)
        if name not in expected and not known.fullmatch(name)
    ]
    parts = [
        listing(f"{len(lines)} {title}:", lines)
        for title, lines in (
            ("expected and not found", missing),
            ("of another shape", misshapen),
            ("found and not expected", unknown),
        )
        if lines
    ]
    if parts:
        title = "The weights are not those that the configs describe; do these belong together?"
        raise ExportError("\n".join([title, *parts]))
