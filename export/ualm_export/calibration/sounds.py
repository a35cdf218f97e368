"""Synthesized sounds for the calibration of the audio encoder: tones, noises, clicks and buzzes with formants."""

from collections.abc import Callable

import numpy as np

RATE = 16000


def sounds(seconds: float, seed: int = 11) -> list[np.ndarray]:
    """Makes float32 sounds [samples] at 16 kHz, determined by the seed."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    makers: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (_speech, _music, _rain, _clicks)
    return [_leveled(make(time, generator)) for make in makers]


def _leveled(samples: np.ndarray) -> np.ndarray:
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def _speech(time: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A glottal buzz with a moving pitch and formants that change four times a second, interleaved with pauses and hisses."""
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.4 * time) + 8 * np.sin(2 * np.pi * 5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = sum(np.sin(n * phase) / n for n in range(1, 30))
    vowels = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410)])
    said = np.zeros_like(time)
    syllable = RATE // 4
    for start in range(0, len(time), syllable):
        piece = slice(start, start + syllable)
        kind = generator.random()
        if kind < 0.15:
            continue
        source = generator.normal(0, 1, len(time[piece])) if kind < 0.35 else buzz[piece]
        formants = vowels[generator.integers(len(vowels))] if kind >= 0.35 else (4500, 5500, 6500)
        envelope = np.sin(np.pi * np.arange(len(source)) / syllable) ** 0.5
        said[piece] = envelope * _resonated(source, formants)
    return said + generator.normal(0, 1e-3, len(time))


def _resonated(source: np.ndarray, formants) -> np.ndarray:
    """Filters the source by resonances with a bandwidth of 90 Hz each."""
    hertz = np.fft.rfftfreq(len(source), 1 / RATE)
    gain = sum(1 / (1 + ((hertz - formant) / 90) ** 2) for formant in formants)
    return np.fft.irfft(np.fft.rfft(source) * gain, len(source))


def _music(time: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Decaying notes of a few harmonics over a slow chirp."""
    played = 0.1 * np.sin(2 * np.pi * (100 * time + 60 * time**2))
    for start in np.arange(0, time[-1], 0.3):
        after = np.maximum(time - start, 0)
        base = 220 * 2 ** (generator.integers(0, 24) / 12)
        note = sum(np.sin(2 * np.pi * n * base * after) / n**1.5 for n in range(1, 7))
        played += np.where(time >= start, note * np.exp(-4 * after), 0)
    return played


def _rain(time: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Noise with a falling spectrum and a varying loudness."""
    spectrum = np.fft.rfft(generator.normal(0, 1, len(time)))
    hertz = np.fft.rfftfreq(len(time), 1 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + hertz / 300), len(time))
    return noise * (1.2 + np.sin(2 * np.pi * 0.3 * time))


def _clicks(time: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Impulses with short ringing at irregular times over a hum; silence in the second half of each second."""
    clicks = np.zeros_like(time)
    clicks[generator.integers(0, len(time), len(time) // 4000 + 1)] = generator.uniform(0.3, 1, len(time) // 4000 + 1)
    ringing = np.exp(-np.arange(800) / 120) * np.sin(2 * np.pi * 1800 * np.arange(800) / RATE)
    hum = 0.05 * np.sin(2 * np.pi * 50 * time) * (time % 1 < 0.5)
    return np.convolve(clicks, ringing)[: len(time)] + hum
