"""Synthetic speech: clean voices for the model to speak with (flite), and many more for it to listen to (espeak-ng).

Both are programs of the operating system (Debian: `apt install flite espeak-ng`).
"""

from __future__ import annotations

import io
import random
import subprocess

import numpy as np
import soundfile
import soxr

from ..audio import SAMPLING_RATE
from ..audio.augment import trim_silence
from ..errors import TrainingError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN_VOICES = ("slt", "rms", "awb", "kal16")
HEARD_SPOKEN_VOICES = (*SPOKEN_VOICES, "kal")
HEARD_VOICES = (
    "en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc",
)  # fmt: skip
HEARD_VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt3", "klatt4",
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario",
    "Michael", "Mike", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "grandma",
    "grandpa", "gustave", "iven", "john", "linda", "marcelo", "max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "quincy",
    "rob", "robert", "sandro", "shelby", "steph", "travis", "victor", "zac",
)  # fmt: skip
PHRASES = (
    "hello", "good morning", "good night", "goodbye", "thank you", "yes", "no", "well done", "how are you", "see you soon",
    "please wait", "I am here",
)  # fmt: skip


def flite(text: str, voice: str, stretch: float, pitch: float) -> np.ndarray:
    """Speaks `text` with a flite voice; `stretch` times as long, at `pitch` hertz."""
    settings = ["--setf", f"duration_stretch={stretch:.3f}", "--setf", f"int_f0_target_mean={pitch:.1f}"]
    return _run(["flite", "-voice", voice, *settings, "-t", text, "-o", "/dev/stdout"])


def espeak(text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """Speaks `text` with espeak-ng; `speed` in words a minute, `pitch` from 0 to 99."""
    return _run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text])


def clear_voice(text: str, voice: str) -> np.ndarray:
    """Speaks `text` with a voice that the model learns to speak with, slightly varied."""
    pitch = random.uniform(160, 200) if voice == "slt" else random.uniform(90, 125)
    return flite(text, voice, random.uniform(0.95, 1.2), pitch)


def any_voice(text: str) -> np.ndarray:
    """Speaks `text` with one of many voices, most of them less natural."""
    if random.random() < 0.35:
        return flite(text, random.choice(HEARD_SPOKEN_VOICES), random.uniform(0.75, 1.35), random.uniform(85, 230))
    voice = f"{random.choice(HEARD_VOICES)}+{random.choice(HEARD_VARIANTS)}"
    return espeak(text, voice, random.randint(110, 210), random.randint(15, 85))


def _run(command: list[str]) -> np.ndarray:
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{command[0]} is not installed: apt install {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise TrainingError(f"{' '.join(command)}: {error.stderr.decode(errors='replace').strip()}") from error
    data = done.stdout
    if data[:4] == b"RIFF":
        data = _with_sizes(data)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return trim_silence(soxr.resample(samples, rate, SAMPLING_RATE), 0.01, 0.03).astype(np.float32)


def _with_sizes(data: bytes) -> bytes:
    """Fills in the sizes in the header of a WAV that was written to a pipe."""
    start = data.index(b"data") + 4
    return data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:start] + (len(data) - start - 4).to_bytes(4, "little") + data[start + 4 :]
