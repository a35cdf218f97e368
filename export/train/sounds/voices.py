"""Synthetic speech: clean voices for the model to speak with (flite), and many more for it to listen to (also Pico, espeak-ng and Kokoro).

flite and espeak-ng are programs of the operating system (Debian: `apt install flite espeak-ng`); Pico comes with the package `ttspico`,
Kokoro as `kokoro.py` says.
"""

from __future__ import annotations

import functools
import io
import random

import numpy as np
import soundfile
import soxr

from ..audio import SAMPLING_RATE
from ..audio.augment import trim_silence
from ..errors import TrainingError
from . import kokoro, programs

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN_VOICES = ("slt", "rms", "awb", "kal16")
HEARD_SPOKEN_VOICES = (*SPOKEN_VOICES, "kal")
HEARD_VOICES = (
    "en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc",
)  # fmt: skip
ACCENTS = {  # the digits as speakers of other languages write, and say, the English words
    "de": "siero wann tuh srie foor faif sicks sewwen eit nain",
    "fr": "zirau ouanne tou sri fore faïve sixe sévène eïte naïne",
    "es": "sírou uan tu zri for faiv siks séven eit nain",
    "it": "sìrou uàn tu trì fòr fàiv sics séven èit nàin",
    "nl": "ziero wan toe srie foor faaif siks seven eet nain",
    "pl": "ziro łan tu sri for fajw siks sewen ejt najn",
    "pt-br": "zírou uân tu tri fór faiv síks séven êit nain",
    "el": "ζίροου γουάν του θρι φορ φάιβ σιξ σέβεν έιτ νάιν",
    "ru": "зироу уан ту сри фор файв сикс сэвэн эйт найн",
    "hi": "ज़ीरो वन टू थ्री फोर फाइव सिक्स सेवन एट नाइन",
    "sv": "siro oan to tri for fajv siks seven ejt najn",
    "fi": "siiro van tuu srii foor faiv siks seven eit nain",
    "tr": "ziro van tu sri for fayv siks sevın eyt nayn",
    "hu": "ziró van tú szrí fór fájv sziksz szeven éjt nájn",
    "cs": "zírou uan tú srí fór fajv siks sevn ejt najn",
}
PICO_LANGUAGES = ("en-US", "en-GB")
PICO_ACCENTS = {"de-DE": "de", "fr-FR": "fr", "es-ES": "es", "it-IT": "it"}
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
    return _spoken(["flite", "-voice", voice, *settings, "-t", text, "-o", "/dev/stdout"])


def espeak(text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """Speaks `text` with espeak-ng; `speed` in words a minute, `pitch` from 0 to 99."""
    return _spoken(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text])


def pico(text: str, language: str, rate: int, pitch: int) -> np.ndarray:
    """Speaks `text` with the Pico voice of a language; `rate` and `pitch` in percent."""
    engine = _pico_engine(language)
    engine.rate = rate
    engine.pitch = pitch
    samples = np.frombuffer(engine.speak(text), np.int16).astype(np.float32) / 32768
    return trim_silence(samples, 0.01, 0.03)


@functools.cache
def _pico_engine(language: str):
    try:
        import ttspico  # here, because `evaluate.py` reads this module too, without the recipe's Python environment
    except ImportError as error:
        raise TrainingError("ttspico is not installed: use the Python that `make train-python` prints") from error
    return ttspico.TtsEngine(language)


def clear_voice(text: str, voice: str) -> np.ndarray:
    """Speaks `text` with a voice that the model learns to speak with, slightly varied."""
    pitch = random.uniform(160, 200) if voice == "slt" else random.uniform(90, 125)
    return flite(text, voice, random.uniform(0.95, 1.2), pitch)


def any_voice(digit: int) -> np.ndarray:
    """Speaks a digit with one of many voices: half of the clips are Kokoro's, which are the most natural."""
    if random.random() < 0.5:
        return kokoro.any_speaker(digit)
    return random.choice((_any_flite, _any_pico, _any_espeak, _any_accent))(digit)


def _any_flite(digit: int) -> np.ndarray:
    return flite(DIGITS[digit], random.choice(HEARD_SPOKEN_VOICES), random.uniform(0.75, 1.35), random.uniform(85, 230))


def _any_pico(digit: int) -> np.ndarray:
    language = random.choice((*PICO_LANGUAGES, *PICO_ACCENTS))
    accent = PICO_ACCENTS.get(language)
    text = _accented(digit, accent) if accent else DIGITS[digit]
    return pico(text, language, random.randint(70, 160), random.randint(60, 150))


def _any_espeak(digit: int) -> np.ndarray:
    return _espeak_variant(DIGITS[digit], random.choice(HEARD_VOICES))


def _any_accent(digit: int) -> np.ndarray:
    language = random.choice(list(ACCENTS))
    return _espeak_variant(_accented(digit, language), language)


def _espeak_variant(text: str, voice: str) -> np.ndarray:
    return espeak(text, f"{voice}+{random.choice(HEARD_VARIANTS)}", random.randint(110, 210), random.randint(15, 85))


def _accented(digit: int, language: str) -> str:
    return ACCENTS[language].split()[digit]


def _spoken(command: list[str]) -> np.ndarray:
    """Runs a synthesizer that writes a sound file to its standard output."""
    data = programs.run(command)
    if data[:4] == b"RIFF":
        data = _with_sizes(data)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return trim_silence(soxr.resample(samples, rate, SAMPLING_RATE), 0.01, 0.03).astype(np.float32)


def _with_sizes(data: bytes) -> bytes:
    """Fills in the sizes in the header of a WAV that was written to a pipe."""
    start = data.index(b"data") + 4
    return data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:start] + (len(data) - start - 4).to_bytes(4, "little") + data[start + 4 :]
