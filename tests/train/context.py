"""Helpers of the recipe's tests: the import path of its package, a temporary folder, small generated recordings."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "export"))

from train.data.recordings import Recording


class TemporaryFolderTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)


def silent() -> contextlib.redirect_stdout:
    return contextlib.redirect_stdout(io.StringIO())


def tone(hertz: float, seconds: float = 0.5, rate: int = 16_000) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def recordings() -> list[Recording]:
    """Returns a few recordings of every kind, the digits of two speakers."""
    random = np.random.default_rng(0)
    noise = lambda: random.normal(0, 0.1, 12_000).astype(np.float32)  # noqa: E731
    made = [Recording(f"{label} {i}", "made", label, "made", tone(500 + 90 * i)) for label in ("desk bell", "wind") for i in range(2)]
    sounds = [Recording(f"{label} {i}", "sound", label, "1", noise()) for label in ("dog bark", "rain") for i in range(2)]
    said = [
        Recording(f"{word} {who}", "digit", word, who, tone(200 + 50 * i)) for who in ("ann", "bob") for i, word in enumerate(("one", "two"))
    ]
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    voices = [Recording(f"{w} {kind}", kind, w, "slt", tone(300 + 20 * i)) for kind in ("clear", "other") for i, w in enumerate(words)]
    return made + sounds + said + voices
