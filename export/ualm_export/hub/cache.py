"""The cache, in the layout of Hugging Face's library, so that programs share fetched files.

    models--OWNER--NAME/blobs/SUM                  a file, named by its checksum
                        blobs/SUM.incomplete       the beginning of a file
                        snapshots/COMMIT/PATH      a link to a file
                        refs/REVISION              the last known commit of a branch or tag
    .locks/models--OWNER--NAME/SUM.lock            held by the program that fetches the file
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .name import HubName

_PIECE = 1 << 20


@dataclass(frozen=True)
class Cache:
    folder: Path

    def repository(self, name: HubName) -> Path:
        return self.folder / f"models--{name.owner}--{name.name}"

    def snapshot(self, name: HubName, commit: str) -> Path:
        return self.repository(name) / "snapshots" / commit

    def blob(self, name: HubName, sum_: str) -> Path:
        return self.repository(name) / "blobs" / sum_

    def partial(self, name: HubName, sum_: str) -> Path:
        return self.repository(name) / "blobs" / f"{sum_}.incomplete"

    def lock(self, name: HubName, sum_: str) -> Path:
        return self.folder / ".locks" / self.repository(name).name / f"{sum_}.lock"

    def commit(self, name: HubName) -> str | None:
        """Returns the last known commit of a revision; `None` if it was never fetched."""
        if re.fullmatch(r"[0-9a-f]{40}", name.revision):
            return name.revision if self.snapshot(name, name.revision).is_dir() else None
        ref = self.repository(name) / "refs" / name.revision
        commit = ref.read_text(encoding="ascii", errors="replace").strip() if ref.is_file() else ""
        return commit if re.fullmatch(r"[0-9a-f]{40}", commit) and self.snapshot(name, commit).is_dir() else None

    def keep_commit(self, name: HubName, commit: str) -> None:
        """Records the commit of a revision."""
        ref = self.repository(name) / "refs" / name.revision
        if name.revision != commit:
            ref.parent.mkdir(parents=True, exist_ok=True)
            aside = ref.with_name(f".{ref.name}.{os.getpid()}")
            aside.write_text(commit, encoding="ascii")
            aside.replace(ref)

    def kept(self, name: HubName, commit: str) -> Iterator[tuple[str, int, str]]:
        """Yields the files of a snapshot: path, size, checksum. The checksum is empty if unknown, as on systems without links."""
        snapshot = self.snapshot(name, commit)
        for path in sorted(snapshot.rglob("*")):
            if path.is_file():
                sum_ = path.resolve().name if path.is_symlink() else ""
                yield path.relative_to(snapshot).as_posix(), path.stat().st_size, sum_

    def place(self, name: HubName, commit: str, path: str, sum_: str) -> None:
        """Links a blob into a snapshot; without support for links, moves it there."""
        blob = self.blob(name, sum_)
        target = self.snapshot(name, commit) / path
        if target.is_file() and target.samefile(blob):
            return  # another export may be reading it
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            aside.symlink_to(os.path.relpath(blob, target.parent))
        except OSError:
            blob.replace(target)
        else:
            aside.replace(target)

    def found(self, name: HubName, commit: str, path: str, sum_: str) -> Path | None:
        """Returns the cached file named by `sum_`, or by `path` in the snapshot; its content is not checked."""
        candidates = (self.blob(name, sum_), self.snapshot(name, commit) / path)
        return next((candidate for candidate in candidates if candidate.is_file()), None)


def has_sum(path: Path, sum_: str) -> bool:
    """Returns whether a file's content has the checksum: SHA-256, or Git's id of a blob."""
    if len(sum_) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest() == sum_
