"""The plan of an export: the bytes to fetch, to write and to use, printed and checked before the start."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import ExportError
from .options import Options
from .precision import VNNI
from .source import Fetched, Folder

_BYTES_A_WEIGHT = {"fp32": 4.1, "fp16": 2.1, "int8": 1.6, "int4": 1.4}
"""Upper bounds, of packages of 0.5 to 3.5 billion weights: embeddings are in float16, codec encoders in float32."""
_BYTES_A_WEIGHT_FOR_VNNI = 0.7
_CALIBRATION_DISK = 2.0
_CALIBRATION_MEMORY = 2.6
"""Bytes for each weight: float16 weights in a temporary folder; float32 parts with the caches of the texts in memory."""
_MEMORY = 1e9
"""Memory of an export without calibration, measured at 2B sizes."""


class Plan:
    """The sources of an export, and the sizes of its results."""

    def __init__(self, sources: Iterable[Folder | Fetched], out: Path, options: Options):
        self.sources = list(sources)
        self.out = out
        self.options = options
        self.weights = sum(source.weights for source in self.sources)

    @property
    def is_calibrated(self) -> bool:
        return self.options.calibration and (self.options.precision == "int4" or VNNI in self.options.all_targets)

    @property
    def written(self) -> int:
        """The maximum size of the package in bytes."""
        rows = _BYTES_A_WEIGHT_FOR_VNNI if VNNI in self.options.all_targets else 0
        return int(self.weights * (_BYTES_A_WEIGHT[self.options.precision] + rows))

    @property
    def temporary(self) -> int:
        """The maximum size of temporary files in bytes."""
        return int(self.weights * _CALIBRATION_DISK) if self.is_calibrated else 0

    @property
    def memory(self) -> int:
        return int(_MEMORY + (self.weights * _CALIBRATION_MEMORY if self.is_calibrated else 0))

    def lines(self) -> list[str]:
        """Returns the plan as text."""
        lines = [line for source in self.sources if isinstance(source, Fetched) for line in _repository_lines(source)]
        if self.weights:
            beside = f", and {size_text(self.temporary)} beside it for the time of the calibration" if self.temporary else ""
            lines.append(f"writes up to {size_text(self.written)} into {self.out}{beside}")
            less = f" ({size_text(int(_MEMORY))} with --no-calibration)" if self.is_calibrated else ""
            lines.append(f"takes some {size_text(self.memory)} of memory{less}")
        return lines

    def check_space(self) -> None:
        """Refuses an export for which a disk has too little space."""
        needs: dict[Path, int] = {}
        for source in self.sources:
            if isinstance(source, Fetched):
                folder = source.repository.hub.cache.folder
                needs[folder] = needs.get(folder, 0) + source.missing
        needs[self.out.absolute().parent] = needs.get(self.out.absolute().parent, 0) + self.written + self.temporary
        check_space(needs)


def _repository_lines(source: Fetched) -> list[str]:
    repository = source.repository
    there = source.size - source.missing
    kept = f"; {size_text(there)} of it are in the cache already" if there else ""
    return [
        f"{repository.name} at {repository.commit[:12]}, from {repository.page}",
        f"  licence: {source.license or 'not stated'}; read it there: it holds for the package, too",
        f"  fetches {size_text(source.missing)} of {len(source.files)} files ({size_text(source.size)}) into {repository.hub.cache.folder}{kept}",
    ]


def check_space(needs: Mapping[Path, int]) -> None:
    """Refuses needs that exceed the free space: `needs` has the bytes by folder; several folders may be on one disk."""
    by_disk: dict[int, list[tuple[Path, int]]] = {}
    for folder, size in needs.items():
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        by_disk.setdefault(os.stat(existing).st_dev, []).append((existing, size))
    for places in by_disk.values():
        needed = sum(size for _, size in places)
        free = shutil.disk_usage(places[0][0]).free
        if needed > free:
            where = " and ".join(dict.fromkeys(str(place) for place, _ in places))
            raise ExportError(
                f"the disk of {where} has {size_text(free)} free, and {size_text(needed)} are needed: make room, "
                "or set HF_HUB_CACHE (what is fetched) or OUT (the package) to a folder on another disk"
            )


def size_text(size: int) -> str:
    """Formats bytes: 8.3 GB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
