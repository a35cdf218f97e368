#!/usr/bin/env python3
"""Makes the sound files of tests/data/audio. Needs numpy and ffmpeg (with libmp3lame); only for making them anew.

Every file holds the same second of sound, `sound(t)`, which tests/library/audio.rs computes too: a gliding harmonic tone over a bed
of steady ones, all below 3.7 kHz so that a rate of 8 kHz can carry it. In stereo, left is 1.2 and right 0.8 times it, so that the
mean is the mono file. `log_mel.npy` is the log-mel spectrogram of `noise()` by the formula in numpy and float64.
"""
import pathlib
import subprocess
import wave

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent.parent / "data" / "audio"


def generator(state):
    """The random generator of tests/library/audio.rs: 32 bits, of which it returns the upper 16."""
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield state >> 16


def sound(t):
    """Returns the sound at times t (seconds), within -0.8 and 0.8."""
    draw = generator(1)
    x = sum(np.sin(2 * np.pi * k * (220 * t + 100 * t * t)) / k for k in range(1, 7)) * 0.12 * np.sin(np.pi * t) ** 2
    for i in range(120):
        x = x + 0.008 * np.sin(2 * np.pi * (60 + 30 * i) * t + 2 * np.pi * next(draw) / 65536)
    return x


def noise():
    """Returns 8123 samples, exact in float32: loud, then 60 dB quieter."""
    draw = generator(2)
    x = np.array([(next(draw) - 32768) / 65536 for _ in range(8123)])
    x[4000:] /= 1024
    return x


def log_mel(x, n_fft=400, hop=160, bands=128, rate=16000):
    """Whisper's front end, all in float64: [bands, len(x) // hop]."""
    step = np.log(6.4) / 27
    knee = 15.0
    to_mel = lambda f: np.where(f < 1000, f * 3 / 200, knee + np.log(np.maximum(f, 1) / 1000) / step)
    to_hertz = lambda m: np.where(m < knee, m * 200 / 3, 1000 * np.exp((m - knee) * step))
    edges = to_hertz(np.linspace(0, to_mel(rate / 2), bands + 2))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    low = edges[:-2]
    centre = edges[1:-1]
    high = edges[2:]
    weights = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))) * 2 / (high - low)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(x, n_fft // 2, mode="reflect")
    frames = np.stack([padded[i * hop : i * hop + n_fft] for i in range(len(x) // hop)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    log = np.log10(np.maximum(power @ weights, 1e-10)).T
    return (np.maximum(log, log.max() - 8) + 4) / 4


def write_wav(path, channels, rate):
    samples = np.round(np.stack(channels, 1) * 32768).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    np.save(HERE / "log_mel.npy", np.ascontiguousarray(log_mel(noise()), dtype=np.float32))
    source = HERE / "source.wav"
    for name, rate, channels, options in [
        ("mono-16k.flac", 16000, 1, []),
        ("stereo-11k.flac", 11025, 2, []),
        ("mono-44k.mp3", 44100, 1, ["-b:a", "128k"]),
        ("stereo-48k.mp3", 48000, 2, ["-b:a", "160k"]),
        ("mono-16k.mp3", 16000, 1, ["-b:a", "64k"]),
        ("mono-16k.ogg", 16000, 1, ["-c:a", "libvorbis", "-q:a", "10"]),
        ("stereo-44k.ogg", 44100, 2, ["-c:a", "libvorbis", "-q:a", "9"]),
        ("mono-44k.m4a", 44100, 1, ["-c:a", "aac", "-b:a", "128k"]),
        ("stereo-48k.m4a", 48000, 2, ["-c:a", "aac", "-b:a", "160k"]),
        ("alac-16k.m4a", 16000, 1, ["-c:a", "alac"]),
        ("mono-8k.aiff", 8000, 1, []),
        ("mono-8k.caf", 8000, 1, []),
        ("mono-16k.mka", 16000, 1, ["-c:a", "flac"]),
        ("mono-16k-opus.ogg", 16000, 1, ["-c:a", "libopus", "-b:a", "24k"]),
    ]:
        x = sound(np.arange(rate) / rate)
        write_wav(source, [x] if channels == 1 else [1.2 * x, 0.8 * x], rate)
        command = ["ffmpeg", "-loglevel", "error", "-y", "-i", source, *options, "-map_metadata", "-1", "-fflags", "+bitexact"]
        subprocess.run([*command, HERE / name], check=True)
    source.unlink()


if __name__ == "__main__":
    main()
