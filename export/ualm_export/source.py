"""The source of a checkpoint: a local folder or a repository on a hub."""

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
"""Bytes of a weight in files without headers."""


@dataclass(frozen=True)
class Folder:
    """A local folder."""

    path: Path
    family: ModuleType | None
    files: list[str]
    """The files to read, if the family is known."""
    provenance = Provenance()

    @cached_property
    def weights(self) -> int:
        """The number of weights; 0 if it is unknown."""
        return sum(weights_in(self.path / file) for file in self.files)

    def obtain(self) -> Path:
        return self.path


@dataclass(frozen=True)
class Fetched:
    """The files of a repository, which `obtain` fetches."""

    repository: Repository
    family: ModuleType | None
    files: list[RemoteFile]

    @property
    def license(self) -> str | None:
        """The licence of the files: the family's wording, else the model card's."""
        return getattr(self.family, "LICENSE", None) or self.repository.license

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.repository.name.name, self.repository.license, self.repository.origin)

    @cached_property
    def weights(self) -> int:
        """The number of weights, from the headers of the files, which are fetched first."""
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
        """The number of bytes that are not in the cache."""
        return 0 if self.repository.hub.offline else missing_bytes(self.repository, self.files)

    def obtain(self) -> Path:
        return fetch(self.repository, self.files)


def weights_in(path: Path) -> int:
    """Returns the number of weights in a file: 0 if it is not a file of weights."""
    if path.suffix == ".safetensors":
        return sum(math.prod(tensor.shape) for tensor in read_safetensors(path).values())
    return path.stat().st_size // _HALF if path.suffix in (".pt", ".pth", ".bin") else 0


def checkpoint_of(text: str, hub: Callable[[], Hub] = Hub) -> Folder | Fetched:
    """Returns the checkpoint in the folder `text`, or else in the repository of that name."""
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
    """Returns the files `wanted` of the folder `text`, or else of the repository of that name."""
    path = Path(text)
    if path.exists():
        return Folder(path, None, wanted(_listing(path)) if path.is_dir() else [])
    repository = _repository(text, hub)
    return Fetched(repository, None, repository.chosen(_read_by(repository, wanted)))


def _folder(path: Path) -> Folder:
    """Returns a folder; the exporter reports its faults in detail when it reads it."""
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
    """Returns the files that `choose` selects; its error names the repository."""
    try:
        return choose(list(repository.files))
    except ExportError as error:
        offline = ". Offline, only what was fetched before is there: unset HF_HUB_OFFLINE to fetch the rest" if repository.hub.offline else ""
        raise ExportError(f"{repository.name} ({repository.page}): {error}{offline}") from None


def _no_checkpoint(repository: Repository) -> str:
    if {"manifest.json", "llm.onnx"} <= set(repository.files):
        return f"{repository.name} is a package already, and needs no export: ualm pull {repository.name}"
    return f"{repository.name} ({repository.page}) is not a checkpoint of a known family; expected {expected()}"
