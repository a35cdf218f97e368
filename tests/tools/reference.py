"""Compares a package with a folder of the trainer's answers (expected.json and arrays)."""

import json
from pathlib import Path

import numpy as np

from reply import Package, read_wav


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference, relative to the largest expected magnitude."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max(initial=0.0) / max(np.abs(expected).max(initial=0.0), 1e-30))


def report(errors: dict[str, float], mismatches: list[str], out: Path) -> int:
    """Prints the differences of the cut in `out` from its answers; returns the exit code, 0 if they are small."""
    for name, error in errors.items():
        print(f"{name:40} {error:.1e}")
    for mismatch in mismatches:
        print(f"differs: {mismatch}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.2f} MB")
    return 1 if mismatches or max(errors.values()) > 1e-4 else 0


class Reference:
    """The answers of the trainer's code for one checkpoint, and the distance of a package from them."""

    def __init__(self, folder: Path, package: Package):
        self.folder = folder
        self.package = package
        self.expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        self.errors: dict[str, float] = {}
        """Relative error by the name of the array."""
        self.mismatches: list[str] = []
        """Token sequences and lengths that differ."""

    def array(self, name: str) -> np.ndarray:
        return np.load(self.folder / f"{name}.npy")

    def check(self) -> "Reference":
        for case in self.expected["cases"]:
            self._check_case(case)
        for i, exchange in enumerate(self.expected["interleaved"]):
            self._check_interleaved(i, exchange)
        for clip in self.expected["codec"]:
            self._check_codec(clip)
        return self

    def _check_case(self, case: dict) -> None:
        package = self.package
        name = case["name"]
        features = None
        at = 0
        if "feature_slots" in case:
            ((_, at, length),) = case["feature_slots"]
            features = package.features(read_wav(self.folder / case["data"]["audio"]))
            self._equal(f"{name}: feature rows", len(features), length)
            self.errors[f"{name}.features"] = relative_error(features, self.array(f"{name}.features")[: len(features)])
        prompt = package.embed(case["prompt_frames"], features, at)
        branch = package.branch()
        hidden = package.open_segment(branch, prompt)
        embedded = np.concatenate([prompt, package.embed([package.special_frame(package.reply)])])
        self.errors[f"{name}.prompt_embeds"] = relative_error(embedded, self.array(f"{name}.prompt_embeds"))
        self._check_next_logits(name, hidden)
        segment = self._segment(branch, case["modality"])
        self._equal(f"{name}: tokens", segment.frames, case["tokens"])
        self._equal(f"{name}: ended", segment.ended, case["ended"])
        if "audio" in case:
            frames = segment.frames[:-1] if segment.ended else segment.frames
            audio = package.decode(package.codes(frames))
            self.errors[f"{name}.audio"] = relative_error(audio, self.array(f"{name}.audio").reshape(-1))

    def _check_next_logits(self, name: str, hidden: np.ndarray) -> None:
        """Compares the possible ids of [S, vocabulary]: special and text ids for stream 0, each stream's own block."""
        expected = self.array(f"{name}.next_logits")
        text = self.package.logits("text", hidden)
        audio = self.package.logits("audio", hidden)
        pieces = [expected[0, : len(text)]]
        pieces += [expected[stream, start:end] for stream, (start, end) in enumerate(self.package.audio)]
        pieces.append(expected[0, 2:4])
        self.errors[f"{name}.next_logits"] = relative_error(np.concatenate([text, audio]), np.concatenate(pieces))

    def _check_interleaved(self, index: int, exchange: dict) -> None:
        package = self.package
        branch = package.branch()
        prompt = package.embed(exchange["prompt_frames"])
        for number, expected in enumerate(exchange["segments"]):
            package.open_segment(branch, prompt)
            segment = self._segment(branch, expected["modality"])
            self._equal(f"interleaved {index}, segment {number}: tokens", segment.frames, expected["tokens"])
            prompt = prompt[:0]

    def _check_codec(self, clip: dict) -> None:
        package = self.package
        stem = f"codec.{clip['file'].removesuffix('.wav')}"
        codes = package.encode(read_wav(self.folder / clip["file"]))
        self._equal(f"{stem}: codes", package.delayed(codes).tolist(), self.array(f"{stem}.codes").tolist())
        audio = package.decode(codes)
        self._equal(f"{stem}: samples", len(audio), clip["samples"])
        self.errors[f"{stem}.audio"] = relative_error(audio, self.array(f"{stem}.audio").reshape(-1))

    def _segment(self, branch, modality: str):
        settings = self.expected["inference"]["text" if modality == "text" else "audio"]
        return self.package.segment(branch, modality, settings["max_step"], float(settings["cfg"]))

    def _equal(self, what: str, found, expected) -> None:
        if found != expected:
            self.mismatches.append(what)
