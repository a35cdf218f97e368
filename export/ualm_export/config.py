"""Configuration files (JSON or YAML) whose errors name the file that lacks a value."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import yaml

from .errors import ExportError

_REQUIRED = object()


class Config:
    """A dictionary with the name of its source, for error messages."""

    def __init__(self, values: dict, source: str):
        self.values = values
        self.source = source

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Reads a .json, .yaml or .yml file that holds a mapping."""
        if not path.is_file():
            raise ExportError(f"{path} does not exist")
        try:
            text = path.read_text(encoding="utf-8-sig")  # an editor may have added a byte order mark
            values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError) as error:
            raise ExportError(f"{path} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise ExportError(f"{path} holds {type(values).__name__}, expected a mapping of names to values")
        return cls(values, str(path))

    @classmethod
    def optional(cls, path: Path) -> "Config":
        """Reads a file that may be absent; an absent file has no values."""
        return cls.read(path) if path.is_file() else cls({}, str(path))

    def get(self, *names: str, default=_REQUIRED):
        """Returns the value of the first of `names` that is present and not null."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        if default is _REQUIRED:
            raise ExportError(f"{self.source} has no {' or '.join(names)}")
        return default

    def size(self, *names: str, default=_REQUIRED, least: int = 1) -> int:
        """Returns a whole number of at least `least`."""
        return self._checked(names, default, lambda value: _is_size(value, least), f"a whole number of at least {least}")

    def sizes(self, *names: str, default=_REQUIRED, least: int = 1) -> list[int]:
        """Returns a list of whole numbers of at least `least`."""
        return self._checked(
            names,
            default,
            lambda value: isinstance(value, list) and all(_is_size(size, least) for size in value),
            f"a list of whole numbers of at least {least}",
        )

    def number(self, *names: str, default=_REQUIRED) -> float:
        """Returns a finite number."""
        return float(self._checked(names, default, _is_number, "a number"))

    def _checked(self, names: tuple[str, ...], default, accepts: Callable[[object], bool], expected: str):
        value = self.get(*names, default=default)
        if value is not default and not accepts(value):
            name = next(n for n in names if self.values.get(n) is not None)
            raise ExportError(f"{self.source}: {name} is {value!r}; expected {expected}")
        return value

    def section(self, *names: str, default=_REQUIRED) -> "Config":
        """Returns the mapping under the first of `names` that is present."""
        values = self.get(*names, default=default)
        name = next((n for n in names if self.values.get(n) is not None), names[0])
        if not isinstance(values, dict):
            raise ExportError(f"{self.source}: {name} is {values!r}, expected a mapping")
        return Config(values, f"{self.source}: {name}")

    def require(self, name: str, accepted: list, default=_REQUIRED) -> None:
        """Refuses a value that the graphs do not implement."""
        value = self.get(name, default=default)
        if value not in accepted:
            names = " or ".join(repr(choice) for choice in accepted)
            raise ExportError(f"{self.source}: {name} is {value!r}; supported: {names}")


def _is_size(value, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
