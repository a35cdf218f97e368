"""Packs the codec's training data into one small file, for training on another machine.

    python=$(make --silent train-python)
    PYTHONPATH=export "$python" -m train.codec.pack_recordings WORK/recordings.npz PACKED.npz [--megabytes 60]

Held-out recordings are omitted. The others are coded as Ogg Vorbis and taken in turn, by the shares of their kinds in the
codec's training, until the file is full. Every stage accepts the packed file as recordings.npz.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import soundfile

from ..audio import SAMPLING_RATE
from ..data import recordings
from ..data.recordings import HoldOut, Recording
from ..errors import TrainingError
from .train_decoder import SHARES

COMPRESSION = 0.2  # of Vorbis: 0 is the best quality, 1 the smallest
MEGABYTE = 10**6
INDEX_BYTES = 120  # approximate size of a recording's entry in the index


def coded(recording: Recording) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, recording.samples, SAMPLING_RATE, format="OGG", subtype="VORBIS", compression_level=COMPRESSION)
    return file.getvalue()


def chosen(known: list[Recording], limit: int) -> Iterator[tuple[Recording, bytes]]:
    """Yields recordings and their coded form; every kind gets about its share of the bytes."""
    left = {kind: [r for r in known if r.kind == kind] for kind in SHARES}
    used = dict.fromkeys(SHARES, 0)
    total = 0
    for queue in left.values():
        random.shuffle(queue)
    while any(left.values()):
        kind = min((kind for kind in left if left[kind]), key=lambda kind: used[kind] / SHARES[kind])
        recording = left[kind].pop()
        data = coded(recording)
        total += len(data) + INDEX_BYTES
        if total > limit:
            return
        used[kind] += len(data)
        yield recording, data


def pack(archive: Path, out: Path, megabytes: float) -> None:
    random.seed(0)
    training, _ = recordings.split(recordings.load(archive), HoldOut())
    packed = list(chosen(training, int(megabytes * MEGABYTE)))
    if not packed:
        raise TrainingError(f"no recording of {archive} fits into {megabytes:g} MB; try a larger --megabytes")
    recordings.store_coded(packed, out)
    counts = ", ".join(f"{kind} {sum(r.kind == kind for r, _ in packed)}" for kind in SHARES)
    minutes = sum(r.seconds for r, _ in packed) / 60
    print(f"{out}: {out.stat().st_size / MEGABYTE:.1f} MB, {minutes:.0f} minutes, {len(packed)} of {len(training)} recordings ({counts})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="WORK/recordings.npz")
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=60.0, help="maximum size of the file (default: %(default)g)")
    options = parser.parse_args()
    try:
        pack(options.archive, options.out, options.megabytes)
    except (TrainingError, OSError) as error:
        print(f"pack_recordings: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
