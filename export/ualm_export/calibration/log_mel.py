"""Whisper's log-mel spectrogram, as the runtime computes it for the audio encoder."""

from collections.abc import Mapping

import numpy as np

from ..audio_encoder import HOP_LENGTH, N_FFT, SAMPLING_RATE
from ..blocks.spectrum import hann


def encoder_inputs(encoder: Mapping, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Converts samples [N], of which one window is used, to chunks [C, mel bins, chunk frames] and the signal frames of each [C].

    `encoder` is the manifest's section audio_encoder.
    """
    samples = samples[: encoder["window_seconds"] * SAMPLING_RATE]
    frames = len(samples) // HOP_LENGTH
    if encoder["normalize"]:
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    if encoder["pad_to_window"]:
        samples = np.pad(samples, (0, encoder["window_seconds"] * SAMPLING_RATE - len(samples)))
    mel = log_mel(samples, encoder["num_mel_bins"])
    size = encoder["chunk_frames"]
    starts = range(0, mel.shape[1], size)
    chunks = np.zeros((len(starts), len(mel), size), np.float32)
    for chunk, start in zip(chunks, starts):
        piece = mel[:, start : start + size]
        chunk[:, : piece.shape[1]] = piece
    return chunks, np.array([np.clip(frames - start, 1, size) for start in starts], np.int64)


def log_mel(samples: np.ndarray, bins: int) -> np.ndarray:
    """Computes the log-mel of samples [N] at 16 kHz: float32 [bins, N // hop]."""
    padded = np.pad(samples.astype(np.float64), N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH][: len(samples) // HOP_LENGTH]
    power = np.abs(np.fft.rfft(frames * hann(N_FFT))) ** 2
    log = np.log10(np.maximum(power @ _filters(bins), 1e-10)).T
    return ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


def _filters(bins: int) -> np.ndarray:
    """Builds triangular filters of unit area, evenly spaced in Slaney's mels: linear below 1 kHz, logarithmic above;
    [N_FFT / 2 + 1, bins].
    """
    linear = 200.0 / 3
    octave = np.log(6.4) / 27
    top = 15 + np.log(SAMPLING_RATE / 2 / 1000) / octave
    mels = np.linspace(0, top, bins + 2)
    corners = np.where(mels < 15, linear * mels, 1000 * np.exp(octave * (mels - 15)))
    hertz = np.linspace(0, SAMPLING_RATE / 2, N_FFT // 2 + 1)[:, None]
    left = corners[:-2]
    middle = corners[1:-1]
    right = corners[2:]
    triangles = np.minimum((hertz - left) / (middle - left), (right - hertz) / (right - middle))
    return np.maximum(triangles, 0) * 2 / (right - left)
