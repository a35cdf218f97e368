"""Measures of size and time."""

from __future__ import annotations

import os
import time

import numpy as np

from ...audio import SAMPLING_RATE
from ..subject import Subject, samples_of
from ..table import Row


def cost(subject: Subject) -> list[Row]:
    """Measures the size of the package, and the wall time of ten seconds of sound, start-up included."""
    size = sum(path.stat().st_size for path in subject.package.iterdir() if path.is_file())
    times = []
    length = 0.0
    for seed in range(5):
        start = time.monotonic()
        out = subject.work / "ten.wav"
        subject.run("generate", "rain, then a dog barking twice, then a church bell ringing", "-o", out, "--seed", str(seed))
        length = len(samples_of(out)) / SAMPLING_RATE
        times.append((time.monotonic() - start) * 10 / length)
    return [Row("size of the package", f"{size / 1e6:.1f} MB"), Row("ten seconds of sound", f"{np.median(times):.1f} s on {os.cpu_count()} cores")]
