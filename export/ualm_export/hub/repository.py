"""A hub and its repositories: the commit, and the files with their sizes and checksums."""

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
from .faults import Notes, check_token, explained, with_retries
from .name import HubName

_SUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LIBRARY = "ualm-export"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a commit."""

    path: str
    size: int
    sum: str
    """SHA-256 of a file in Git LFS, Git's id of another file: the name of its blob in the cache."""


@dataclass(frozen=True)
class Repository:
    """A repository at one commit."""

    hub: "Hub"
    name: HubName
    commit: str
    license: str | None
    """The licence in the repository's card."""
    files: dict[str, RemoteFile]
    """The files by path; offline, only those in the cache."""

    @property
    def page(self) -> str:
        return f"{self.hub.address}/{self.name.repository}"

    @property
    def origin(self) -> str:
        """The source of the checkpoint, for the manifest."""
        return f"{self.page}/tree/{self.commit}"

    def chosen(self, paths: Iterable[str]) -> list[RemoteFile]:
        return [self.files[path] for path in paths]


def _default_hub() -> HfApi:
    """Returns the configured library: no telemetry, small chunks, warnings printed as the exporter's notes."""
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 20
    logger = logging.getLogger("huggingface_hub")
    logger.handlers = [Notes(logging.WARNING)]
    logger.propagate = False
    disable_progress_bars()
    return HfApi(library_name=LIBRARY)


@dataclass(frozen=True)
class Hub:
    """The hub, the cache and the token that the environment names, as in every program that uses Hugging Face's library."""

    api: HfApi = field(default_factory=_default_hub)
    cache: Cache = field(default_factory=lambda: Cache(Path(constants.HF_HUB_CACHE)))
    offline: bool = constants.HF_HUB_OFFLINE

    @property
    def address(self) -> str:
        """The hub's address, without a login in it."""
        split = urlsplit(self.api.endpoint)
        return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2])).rstrip("/")

    def repository(self, name: HubName) -> Repository:
        """Requests the list of files of a repository; offline, looks for it in the cache."""
        if self.offline:
            return self._kept(name)
        check_token()
        with explained(name, f"{self.address}/{name.repository}"):
            info = self._info(name)
        card = info.card_data.to_dict() if info.card_data else {}
        files = [_remote_file(name, sibling) for sibling in info.siblings or []]
        if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
            raise ExportError(f"{self.address} returned no commit for {name}; is HF_ENDPOINT the address of a hub?")
        return Repository(self, name, info.sha, card.get("license_name") or card.get("license"), {file.path: file for file in files})

    def _info(self, name: HubName) -> ModelInfo:
        """Requests the information about a repository."""
        try:
            return with_retries(lambda: self.api.model_info(name.repository, revision=name.revision, files_metadata=True, timeout=30))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ExportError(f"the answer of {self.address} about {name} is unreadable; is HF_ENDPOINT the address of a hub?") from None

    def _kept(self, name: HubName) -> Repository:
        commit = self.cache.commit(name)
        if commit is None:
            raise ExportError(
                f"{name} is not in the cache {self.cache.folder}, and HF_HUB_OFFLINE forbids fetching it: unset HF_HUB_OFFLINE once, with a network"
            )
        files = {path: RemoteFile(path, size, sum_) for path, size, sum_ in self.cache.kept(name, commit)}
        return Repository(self, name, commit, None, files)


def _remote_file(name: HubName, sibling) -> RemoteFile:
    """Returns a file from the hub's list; refuses paths that could lead out of the cache."""
    path = sibling.rfilename
    lfs = sibling.lfs
    sum_, size = (lfs.sha256, lfs.size) if lfs else (sibling.blob_id, sibling.size)
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or {"..", "."} & set(parts) or re.search(r"[\\:\x00-\x1f\x7f-\x9f]", path):
        raise ExportError(f"{name} lists a file named {path!r}, which is not a path in a repository; nothing is fetched from it")
    if not isinstance(size, int) or size < 0 or not _SUM.fullmatch(sum_ or ""):
        raise ExportError(f"the hub lists no size or no checksum of {path} in {name}; is HF_ENDPOINT the address of a hub?")
    return RemoteFile(path, size, sum_)
