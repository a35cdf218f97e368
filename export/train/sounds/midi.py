"""Notes of General MIDI instruments: a small MIDI file of many notes, rendered by `fluidsynth` and cut apart."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..errors import TrainingError
from . import programs
from .waves import RATE

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # Debian package fluid-soundfont-gm
ATTRIBUTION = "FluidR3_GM by Frank Wen, MIT"
DRUMS = 9  # the channel of percussion
RENDER_RATE = 44_100
ALL_SOUND_OFF = 120  # a MIDI controller
TAIL = 0.5  # seconds of a note after its key is released


@lru_cache(maxsize=None)
def notes(program: int, keys: tuple[int, ...], velocity: int, held: float, drums: bool = False) -> list[np.ndarray]:
    """Renders each key of an instrument (or of a drum kit) as its own clip, 16 kHz, int16; cached in the process."""
    spacing = held + TAIL
    channel = DRUMS if drums else 0
    events = [(0, bytes([0xC0 | channel, program]))]
    for i, key in enumerate(keys):
        start = int(1000 * i * spacing)
        events += [(start, bytes([0x90 | channel, key, velocity])), (start + int(1000 * held), bytes([0x80 | channel, key, 0]))]
        events.append((start + int(1000 * spacing) - 5, bytes([0xB0 | channel, ALL_SOUND_OFF, 0])))  # no note rings into the next
    samples = _render(_midi_file(sorted(events, key=lambda e: e[0]), int(1000 * len(keys) * spacing)))
    size = int(spacing * RATE)
    samples = np.pad(samples, (0, max(0, size * len(keys) - len(samples))))
    loudest = np.abs(samples).max() + 1e-9
    return [np.round(samples[i * size : (i + 1) * size] * (32_000 / loudest)).astype(np.int16) for i in range(len(keys))]


def _midi_file(events: list[tuple[int, bytes]], end: int) -> bytes:
    """Builds a MIDI file of one track; times are in milliseconds."""
    track = bytes([0x00, 0xFF, 0x51, 0x03]) + (1_000_000).to_bytes(3, "big")
    now = 0
    for at, message in [*events, (end, bytes([0xFF, 0x2F, 0x00]))]:
        track += _variable_length(at - now) + message
        now = at
    header = b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1]) + (1000).to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + track


def _variable_length(value: int) -> bytes:
    """Encodes a number as MIDI does: seven bits a byte, the highest bit set on all but the last."""
    result = [value & 0x7F]
    while value := value >> 7:
        result.insert(0, 0x80 | value & 0x7F)
    return bytes(result)


def _render(midi: bytes) -> np.ndarray:
    """Renders the MIDI file: dry, mono, 16 kHz."""
    if not SOUNDFONT.exists():
        raise TrainingError(f"{SOUNDFONT} is missing: apt-get install fluid-soundfont-gm")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "notes.mid")
        target = Path(folder, "notes.wav")
        source.write_bytes(midi)
        options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RENDER_RATE), "-F", str(target)]
        programs.run(["fluidsynth", *options, str(SOUNDFONT), str(source)])
        samples, rate = soundfile.read(target, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE, quality="HQ")
