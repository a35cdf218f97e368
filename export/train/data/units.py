"""Units, the parts of scenes: single events (a bark, a stroke of a bell) and short stretches of continuing sounds."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from ..audio import SAMPLING_RATE
from ..audio.augment import crop, loud, trim_silence
from .recordings import Recording

HOP = 320  # of the codec: units are whole frames long
STEP = SAMPLING_RATE // 100
QUIET = 10 ** (-26 / 20)  # relative to the loudest part of a recording
PAUSE = 12  # quiet steps after which an event has ended
SHORTEST = 0.12  # seconds of an event
LONGEST = 1.6
STRETCH = (1.6, 2.4)  # seconds of a continuing sound in a scene
LONG_STRETCH = (2.6, 3.6)  # seconds of a continuing sound that is alone
EDGE = 0.03  # seconds around an event
PEAK = 0.45  # of a unit; decoded sound may be louder


@dataclass(frozen=True)
class Unit:
    label: str
    samples: np.ndarray  # float32, whole frames
    source: str = ""  # name of its recording; units of one source can stand for one dog

    @property
    def frames(self) -> int:
        return len(self.samples) // HOP


def extract(
    recordings: list[Recording], is_event: dict[str, bool], seconds: tuple[float, float] = STRETCH, stretches: int = 1
) -> dict[str, list[Unit]]:
    """Extracts the units of every label: the separate bursts of events, random stretches of the other recordings.

    `seconds` is the range of the stretches' lengths, `stretches` their number for each recording.
    """
    units: dict[str, list[Unit]] = {}
    for recording in recordings:
        if recording.label in is_event:
            takes = [recording] if is_event[recording.label] else [recording] * (stretches if recording.kind == "sound" else 1)
            found = [x for take in takes for x in (events(take) if is_event[take.label] else stretch(take, seconds))]
            units.setdefault(recording.label, []).extend(Unit(recording.label, whole(x), recording.name) for x in found)
    return units


def stretch(recording: Recording, seconds: tuple[float, float] = STRETCH) -> list[np.ndarray]:
    samples = trim_silence(recording.samples, threshold=0.01)
    part = crop(samples, int(random.uniform(*seconds) * SAMPLING_RATE))
    return [faded(loud(part, PEAK * random.uniform(0.8, 1.1)))] if np.abs(part).max() > 0 else []


def events(recording: Recording) -> list[np.ndarray]:
    """Extracts the separate bursts of a recording; a made sound is a single event and stays whole."""
    if recording.kind == "made":
        return [loud(recording.samples, PEAK)]
    samples = recording.samples
    edge = int(EDGE * SAMPLING_RATE)
    found = []
    for start, end in bursts(samples):
        part = samples[max(0, start - edge) : end + edge]
        if SHORTEST <= len(part) / SAMPLING_RATE <= LONGEST:
            found.append(faded(loud(part, PEAK)))
    return found


def bursts(samples: np.ndarray) -> list[tuple[int, int]]:
    """Finds the loud parts: (start, end) in samples."""
    count = len(samples) // STEP
    level = np.sqrt(np.square(samples[: count * STEP].reshape(count, STEP)).mean(1))
    active = level > QUIET * level.max(initial=1e-9)
    found: list[tuple[int, int]] = []
    for i in np.flatnonzero(active):
        if found and i - found[-1][1] < PAUSE:
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
    return [(start * STEP, end * STEP) for start, end in found]


def whole(samples: np.ndarray) -> np.ndarray:
    """Pads `samples` with silence to whole frames."""
    return np.pad(samples, (0, -len(samples) % HOP)).astype(np.float32)


def faded(samples: np.ndarray, seconds: float = 0.008) -> np.ndarray:
    ramp = np.linspace(0, 1, min(int(seconds * SAMPLING_RATE), len(samples) // 2), dtype=np.float32)
    result = samples.copy()
    result[: len(ramp)] *= ramp
    result[len(result) - len(ramp) :] *= ramp[::-1]
    return result
