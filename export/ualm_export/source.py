"""Where a checkpoint comes from: a folder of this machine, or a repository on a hub."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from .errors import ExportError
from .families import choose_files, expected
from .hub import Hub, HubName, RemoteFile, Repository, fetch, missing_bytes, weights_in_remote
from .package import Provenance
from .tensors import read_safetensors

_HALF = 2
"""Bytes of a weight, in files that do not tell."""


@dataclass(frozen=True)
class Folder:
    """Files of this machine."""

    path: Path
    family: ModuleType | None
    files: list[str]
    """Those that are read, where the family could be told."""
    provenance = Provenance()

    @cached_property
    def weights(self) -> int:
        """How many weights there are; 0 if that cannot be told."""
        return sum(weights_in(self.path / file) for file in self.files)

    def obtain(self) -> Path:
        return self.path


@dataclass(frozen=True)
class Fetched:
    """Files of a repository, which `obtain` fetches."""

    repository: Repository
    family: ModuleType | None
    files: list[RemoteFile]

    @property
    def license(self) -> str | None:
        """What its files are under: the family's words for it, else the card's."""
        return getattr(self.family, "LICENSE", None) or self.repository.license

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.repository.name.name, self.repository.license, self.repository.origin)

    @cached_property
    def weights(self) -> int:
        """How many weights there are, by the heads of the files, which are fetched first."""
        count = 0
        for file in self.files:
            if file.path.endswith(".safetensors"):
                count += weights_in_remote(self.repository, file, weights_in)
            elif file.path.endswith((".pt", ".pth", ".bin")):
                count += file.size // _HALF
        return count

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @cached_property
    def missing(self) -> int:
        """The bytes that are still to be fetched."""
        return 0 if self.repository.hub.offline else missing_bytes(self.repository, self.files)

    def obtain(self) -> Path:
        return fetch(self.repository, self.files)


def weights_in(path: Path) -> int:
    """How many weights a file holds: 0 if it is no file of weights."""
    if path.suffix == ".safetensors":
        return sum(math.prod(tensor.shape) for tensor in read_safetensors(path).values())
    return path.stat().st_size // _HALF if path.suffix in (".pt", ".pth", ".bin") else 0


def checkpoint_of(text: str, hub: Callable[[], Hub] = Hub) -> Folder | Fetched:
    """The checkpoint in the folder `text`, or else in the repository of that name."""
    path = Path(text)
    if path.exists():
        return _folder(path)
    repository = _repository(text, hub)
    chosen = _read_by(repository, choose_files)
    if chosen is None:
        raise ExportError(_no_checkpoint(repository))
    family, files = chosen
    return Fetched(repository, family, repository.chosen(files))


def companion_of(text: str, wanted: Callable[[Collection[str]], list[str]], hub: Callable[[], Hub] = Hub) -> Folder | Fetched:
    """The files `wanted` of the folder `text`, or else of the repository of that name."""
    path = Path(text)
    if path.exists():
        return Folder(path, None, wanted(_listing(path)) if path.is_dir() else [])
    repository = _repository(text, hub)
    return Fetched(repository, None, repository.chosen(_read_by(repository, wanted)))


def _folder(path: Path) -> Folder:
    """A folder. What is wrong with it, the exporter says with more words when it reads it."""
    try:
        chosen = choose_files(_listing(path)) if path.is_dir() else None
    except ExportError:
        chosen = None
    return Folder(path, *(chosen or (None, [])))


def _listing(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _repository(text: str, hub: Callable[[], Hub]) -> Repository:
    name = HubName.parse(text)
    if name is None:
        raise ExportError(f"{text} is not a folder, and not the name of a repository on a hub (OWNER/NAME or OWNER/NAME@REVISION); expected {expected()}")
    return hub().repository(name)


def _read_by(repository: Repository, choose: Callable):
    """What `choose` chooses of the files; its refusal names the repository."""
    try:
        return choose(list(repository.files))
    except ExportError as error:
        offline = ". Offline, only what was fetched before is there: unset HF_HUB_OFFLINE to fetch the rest" if repository.hub.offline else ""
        raise ExportError(f"{repository.name} ({repository.page}): {error}{offline}") from None


def _no_checkpoint(repository: Repository) -> str:
    if {"manifest.json", "llm.onnx"} <= set(repository.files):
        return f"{repository.name} is a package already, and needs no export: ualm pull {repository.name}"
    return f"{repository.name} ({repository.page}) is no checkpoint of a known family; expected {expected()}"
