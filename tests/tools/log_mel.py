"""Whisper's log-mel front end in float64, the tests' independent implementation."""

import numpy as np

WINDOW = 400
HOP = 160
BINS = 128
RATE = 16000


def mel_filters(bins: int = BINS) -> np.ndarray:
    """Returns Slaney's triangular filters with unit area, [WINDOW / 2 + 1, bins]."""
    break_hertz = 1000.0
    break_mel = 15.0
    step = np.log(6.4) / 27.0
    top_mel = break_mel + np.log(RATE / 2 / break_hertz) / step
    mels = np.linspace(0.0, top_mel, bins + 2)
    hertz = np.where(mels >= break_mel, break_hertz * np.exp(step * (mels - break_mel)), mels * break_hertz / break_mel)
    distances = hertz[None] - np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rising = -distances[:, :-2] / np.diff(hertz)[:-1]
    falling = distances[:, 2:] / np.diff(hertz)[1:]
    return np.maximum(0, np.minimum(rising, falling)) * (2.0 / (hertz[2:] - hertz[:-2]))


def log_mel(samples: np.ndarray, bins: int = BINS) -> np.ndarray:
    """samples [N] at 16 kHz → [bins, N // HOP] float32."""
    padded = np.pad(samples.astype(np.float64), WINDOW // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(samples) // HOP]
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    log = np.log10(np.maximum(power @ mel_filters(bins), 1e-10)).T
    return ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


def normalized(samples: np.ndarray) -> np.ndarray:
    """Normalizes samples to zero mean and unit variance."""
    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32)
