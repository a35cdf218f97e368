"""The subject of an evaluation: a package, the program that runs it, the recordings, and the judges."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import soundfile

from ..audio import SAMPLING_RATE
from ..data import units
from ..data.prepare import prepare
from ..data.recordings import HoldOut, Recording, load, split
from ..errors import TrainingError
from ..world import small_world
from .judges import DigitJudge, SceneJudge, SoundJudge, known_sounds

KNOWN_UNITS = 12  # of every kind, for the judge of scenes
PAUSE = 32 * units.HOP  # between clips in one recording: longer than the codec's context
MOST_JOINED = 60 * SAMPLING_RATE  # maximum length of a recording before the last clip


@dataclass
class Subject:
    """A package with all that its measures need. Files of a measure named `name` lie in `work/name`."""

    package: Path
    program: list[str]  # with its options
    data: Path
    work: Path
    count: int  # prompts for each kind of sound
    sounds: SoundJudge = field(default_factory=SoundJudge)
    digits: DigitJudge = field(default_factory=DigitJudge)

    @cached_property
    def scenes(self) -> SceneJudge:
        random.seed(4)
        extracted = units.extract(self.training, small_world.IS_EVENT)
        for found in extracted.values():
            random.shuffle(found)
        return SceneJudge(self.sounds, known_sounds(extracted, KNOWN_UNITS, partial(self.round_trip, "known")))

    @property
    def held_out(self) -> list[Recording]:
        """The recordings and made sounds that are held out of training."""
        return split(self._recordings(), HoldOut())[1]

    @property
    def training(self) -> list[Recording]:
        """The recordings and made sounds of training."""
        return split(self._recordings(), HoldOut())[0]

    def _recordings(self) -> list[Recording]:
        archive = self.work / "recordings.npz"
        if not archive.exists():
            prepare(self.data, archive)
        return load(archive)

    def processor(self) -> str:
        """Returns the processor of the figures, as `ualm doctor` reports it."""
        lines = (line.strip() for line in self.run("doctor").splitlines())
        return next((line for line in lines if line.startswith("processor:")), "processor: unknown")

    def run(self, *arguments: str | Path) -> str:
        """Runs a command of the program and returns its output."""
        command = [*self.program, *map(str, arguments), "--model", str(self.package)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise TrainingError(f"{shlex.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def batch(self, name: str, requests: list[dict]) -> list[dict]:
        """Runs the requests and returns the results in their order; a failed request counts as an empty answer."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"id": str(i), **request}) for i, request in enumerate(requests)]
        (folder / "requests.jsonl").write_text("\n".join(lines) + "\n")
        files = [str(folder / "requests.jsonl"), "--out", str(folder)]
        command = [*self.program, "batch", *files, "--restart", "--model", str(self.package), "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)  # exit status 1 if a single request failed
        if not (folder / "results.jsonl").exists():
            raise TrainingError(f"{shlex.join(command)} wrote no results: {done.stderr.strip()}")
        return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]

    def round_trip(self, name: str, clips: list[np.ndarray]) -> list[np.ndarray]:
        """Encodes and decodes clips with the codec, many of them in one recording: starting the program costs more than a clip."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        recordings, places = joined_with_pauses(clips)
        after = []
        for samples in recordings:
            soundfile.write(folder / "clips.wav", samples, SAMPLING_RATE, subtype="FLOAT")
            self.run("codec", "encode", folder / "clips.wav", "-o", folder / "codes.npy")
            self.run("codec", "decode", folder / "codes.npy", "-o", folder / "back.wav", "--float")
            after.append(samples_of(folder / "back.wav"))
        return [after[recording][start:end] for recording, start, end in places]

    def save(self, name: str, clips: Iterable[np.ndarray]) -> list[Path]:
        """Writes clips as WAV files and returns their absolute paths."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for i, samples in enumerate(clips):
            paths.append((folder / f"clip-{i}.wav").resolve())
            soundfile.write(paths[-1], samples, SAMPLING_RATE)
        return paths


def joined_with_pauses(clips: list[np.ndarray]) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """Joins clips to recordings; returns them and (recording, start, end) of each clip, in samples. Clips start at codec frames."""
    recordings = [[]]
    places = []
    at = 0
    for clip in map(units.whole, clips):
        if at > MOST_JOINED:
            recordings.append([])
            at = 0
        places.append((len(recordings) - 1, at, at + len(clip)))
        recordings[-1] += [clip, np.zeros(PAUSE, np.float32)]
        at += len(clip) + PAUSE
    return [np.concatenate(parts) for parts in recordings if parts], places


def samples_of(path: Path) -> np.ndarray:
    """Returns the samples of a sound file, its channels averaged."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
