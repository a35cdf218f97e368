"""Configuration files (JSON or YAML) that say where a missing value was looked for."""

import json
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
        text = path.read_text(encoding="utf-8")
        try:
            values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError) as error:
            raise ExportError(f"{path} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise ExportError(f"{path} holds {type(values).__name__}, expected a mapping of names to values")
        return cls(values, str(path))

    @classmethod
    def optional(cls, path: Path) -> "Config":
        """Reads a file that may be absent; then nothing is in it."""
        return cls.read(path) if path.is_file() else cls({}, str(path))

    def get(self, *names: str, default=_REQUIRED):
        """The value of the first of `names` that is present and not null."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        if default is _REQUIRED:
            raise ExportError(f"{self.source} has no {' or '.join(names)}")
        return default

    def section(self, *names: str, default=_REQUIRED) -> "Config":
        """The mapping under the first of `names` that is present."""
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
            raise ExportError(f"{self.source}: {name} is {value!r}; implemented is {names}")
