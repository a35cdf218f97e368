"""Fetches files of a repository into the cache: in parallel, resuming interrupted files, verified by checksum."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import SafetensorsParsingError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers
from tqdm import tqdm

from ..errors import ExportError
from .cache import has_sum
from .faults import damaged, explained, sentence, with_retries
from .repository import LIBRARY, RemoteFile, Repository

_AT_ONCE = 4


class _Stopped(Exception):
    """Raised when another file has failed, or the user has stopped the export."""


def missing_bytes(repository: Repository, files: list[RemoteFile]) -> int:
    """Returns the bytes of the files that are not in the cache."""
    cache = repository.hub.cache
    name = repository.name
    missing = 0
    for file in files:
        found = cache.found(name, repository.commit, file.path, file.sum)
        partial = cache.partial(name, file.sum)
        if found is None or found.stat().st_size != file.size:
            missing += file.size - min(file.size, partial.stat().st_size if partial.is_file() else 0)
    return missing


def weights_in_remote(repository: Repository, file: RemoteFile, count_in: Callable[[Path], int]) -> int:
    """Returns the number of weights in a safetensors file: from its header, or by `count_in` if the file is in the cache."""
    found = repository.hub.cache.found(repository.name, repository.commit, file.path, file.sum)
    if found is not None and (repository.hub.offline or found.stat().st_size == file.size):
        return count_in(found)
    api = repository.hub.api
    name = repository.name
    try:
        with explained(name, repository.page):
            head = with_retries(lambda: api.parse_safetensors_file_metadata(name.repository, file.path, revision=repository.commit))
    except SafetensorsParsingError:
        raise ExportError(f"{file.path} of {name} is not a safetensors file; nothing is fetched") from None
    return sum(head.parameter_count.values())


def fetch(repository: Repository, files: list[RemoteFile]) -> Path:
    """Fetches the files that are not in the cache, verifies all checksums, and returns the folder of the commit.

    A file appears in that folder once it is complete and verified.
    """
    cache = repository.hub.cache
    name = repository.name
    stop = threading.Event()
    if repository.hub.offline:
        _check_kept(repository, files)
        return cache.snapshot(name, repository.commit)
    size = sum(file.size for file in files)
    with tqdm(total=size, desc=f"fetching {name.name}", unit="B", unit_scale=True, disable=None, dynamic_ncols=True) as bar:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            waiting = [threads.submit(_fetch_file, repository, file, _Progress(bar, stop)) for file in files]
            try:
                for done in waiting:
                    done.result()
            except BaseException as error:
                stop.set()
                threads.shutdown(cancel_futures=True)
                raise next((e for e in _errors(waiting) if not isinstance(e, _Stopped)), error) from None
    cache.keep_commit(name, repository.commit)
    return cache.snapshot(name, repository.commit)


def _errors(futures) -> list[BaseException]:
    return [error for future in futures if not future.cancelled() and (error := future.exception())]


class _TooLong(Exception):
    """Raised when more bytes arrive than the file has."""


class _Progress:
    """A file's share of the progress bar; stops its thread on request."""

    def __init__(self, bar: tqdm, stop: threading.Event):
        self._bar = bar
        self._stop = stop
        self._done = 0

    def reach(self, done: int) -> None:
        """Moves the share to `done` bytes."""
        if self._stop.is_set():
            raise _Stopped
        self._bar.update(done - self._done)
        self._done = done


class _Watched:
    """A file that reports its size and accepts at most `size` bytes."""

    def __init__(self, file, size: int, progress: _Progress):
        self._file = file
        self._size = size
        self._progress = progress
        self.seek = file.seek
        self.tell = file.tell

    def write(self, piece: bytes) -> None:
        if self._file.tell() + len(piece) > self._size:
            raise _TooLong
        self._file.write(piece)
        self._progress.reach(self._file.tell())

    def truncate(self) -> None:
        self._file.truncate()
        self._progress.reach(self._file.tell())


def _fetch_file(repository: Repository, file: RemoteFile, progress: _Progress) -> None:
    """Puts one file into the snapshot."""
    cache = repository.hub.cache
    name = repository.name
    lock = cache.lock(name, file.sum)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with _held(lock, progress, file):
            found = cache.found(name, repository.commit, file.path, file.sum)
            if found is None or not has_sum(found, file.sum):
                if found is not None:
                    found.unlink()  # damaged, or of another commit
                _fetch_blob(repository, file, progress)
                found = cache.blob(name, file.sum)
            if found == cache.blob(name, file.sum):
                cache.place(name, repository.commit, file.path, file.sum)
    except OSError as error:
        raise sentence(cache.folder, file.path, error) from None
    progress.reach(file.size)


def _held(lock: Path, progress: _Progress, file: RemoteFile) -> FileLock:
    """Acquires the lock of a file, after any other program that fetches the file."""
    held = FileLock(lock)
    is_reported = False
    while True:
        progress.reach(0)
        try:
            held.acquire(timeout=1)
            return held
        except Timeout:
            if not is_reported:
                tqdm.write(f"another program is fetching {file.path}; waiting for it")
                is_reported = True


def _fetch_blob(repository: Repository, file: RemoteFile, progress: _Progress) -> None:
    """Fetches the rest of a file's content and verifies its checksum."""
    cache = repository.hub.cache
    name = repository.name
    partial = cache.partial(name, file.sum)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if partial.is_file() and partial.stat().st_size > file.size:
        partial.unlink()
    try:
        with explained(name, repository.page):
            with_retries(_transfer(repository, file, partial, progress))
        is_right = has_sum(partial, file.sum)
    except _TooLong:
        is_right = False
    if not is_right:
        partial.unlink()
        raise damaged(file.path, repository.page)
    partial.replace(cache.blob(name, file.sum))


def _transfer(repository: Repository, file: RemoteFile, partial: Path, progress: _Progress) -> Callable[[], None]:
    """Returns a function that fetches the rest of a file into `partial`."""
    api = repository.hub.api
    name = repository.name
    url = hf_hub_url(name.repository, file.path, revision=repository.commit, endpoint=api.endpoint)

    def transfer() -> None:
        headers = build_hf_headers(token=api.token, library_name=LIBRARY)
        with partial.open("ab") as content:
            there = content.tell()
            progress.reach(there)
            http_get(url, _Watched(content, file.size, progress), resume_size=there, headers=headers, expected_size=file.size)

    return transfer


def _check_kept(repository: Repository, files: list[RemoteFile]) -> None:
    """Verifies the checksums of the cached files, for offline use."""
    snapshot = repository.hub.cache.snapshot(repository.name, repository.commit)
    for file in files:
        if file.sum and not has_sum(snapshot / file.path, file.sum):
            raise ExportError(f"{snapshot / file.path} is damaged: delete it, unset HF_HUB_OFFLINE, and fetch it again")
