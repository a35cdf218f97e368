"""A hub, and what it says of a repository: the commit, and the files with their sizes and sums."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.utils import disable_progress_bars

from ..errors import ExportError
from .cache import Cache
from .faults import Notes, check_token, patiently, told
from .name import HubName

_SUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LIBRARY = "ualm-export"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a commit."""

    path: str
    size: int
    sum: str
    """SHA-256 of a file that is stored by Git LFS, Git's id of another: the name of its blob in the cache."""


@dataclass(frozen=True)
class Repository:
    """A repository at one commit."""

    hub: "Hub"
    name: HubName
    commit: str
    license: str | None
    """As its card says."""
    files: dict[str, RemoteFile]
    """By their paths. Offline: those that are in the cache."""

    @property
    def page(self) -> str:
        return f"{self.hub.address}/{self.name.repository}"

    @property
    def origin(self) -> str:
        """Where it comes from, for the manifest."""
        return f"{self.page}/tree/{self.commit}"

    def chosen(self, paths: Iterable[str]) -> list[RemoteFile]:
        return [self.files[path] for path in paths]


def _default_hub() -> HfApi:
    """The library, set up: it tells the hub nothing of this machine, writes what it receives soon, and says what it has to say in our words."""
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 20
    logger = logging.getLogger("huggingface_hub")
    logger.handlers, logger.propagate = [Notes(logging.WARNING)], False
    disable_progress_bars()
    return HfApi(library_name=LIBRARY)


@dataclass(frozen=True)
class Hub:
    """The hub, the cache and the token that the environment names, as for every program that uses Hugging Face's library."""

    api: HfApi = field(default_factory=_default_hub)
    cache: Cache = field(default_factory=lambda: Cache(Path(constants.HF_HUB_CACHE)))
    offline: bool = constants.HF_HUB_OFFLINE

    @property
    def address(self) -> str:
        """The hub's address, without a login that may stand in it."""
        split = urlsplit(self.api.endpoint)
        return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2])).rstrip("/")

    def repository(self, name: HubName) -> Repository:
        """Asks for the files of a repository; offline, looks for what the cache has of it."""
        if self.offline:
            return self._kept(name)
        check_token()
        with told(name, f"{self.address}/{name.repository}"):
            info = self._info(name)
        card = info.card_data.to_dict() if info.card_data else {}
        files = [_remote_file(name, sibling) for sibling in info.siblings or []]
        if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
            raise ExportError(f"{self.address} names no commit for {name}; is HF_ENDPOINT the address of a hub?")
        return Repository(self, name, info.sha, card.get("license_name") or card.get("license"), {file.path: file for file in files})

    def _info(self, name: HubName) -> ModelInfo:
        """What the hub says of a repository."""
        try:
            return patiently(lambda: self.api.model_info(name.repository, revision=name.revision, files_metadata=True, timeout=30))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ExportError(f"what {self.address} says of {name} cannot be read; is HF_ENDPOINT the address of a hub?") from None

    def _kept(self, name: HubName) -> Repository:
        commit = self.cache.commit(name)
        if commit is None:
            raise ExportError(
                f"{name} is not in the cache {self.cache.folder}, and HF_HUB_OFFLINE forbids to fetch it: unset it once, with a network"
            )
        files = {path: RemoteFile(path, size, sum_) for path, size, sum_ in self.cache.kept(name, commit)}
        return Repository(self, name, commit, None, files)


def _remote_file(name: HubName, sibling) -> RemoteFile:
    """A file as the hub lists it; refuses what could lead out of the cache."""
    path, lfs = sibling.rfilename, sibling.lfs
    sum_, size = (lfs.sha256, lfs.size) if lfs else (sibling.blob_id, sibling.size)
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or {"..", "."} & set(parts) or re.search(r"[\\:\x00-\x1f\x7f-\x9f]", path):
        raise ExportError(f"{name} lists a file named {path!r}, which is no path in a repository; nothing is fetched from it")
    if not isinstance(size, int) or size < 0 or not _SUM.fullmatch(sum_ or ""):
        raise ExportError(f"the hub does not tell the size and the sum of {path} in {name}; is HF_ENDPOINT the address of a hub?")
    return RemoteFile(path, size, sum_)
