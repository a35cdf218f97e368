"""Stages `codec` and `decoder`: train the spectral codec on one-second crops.

The codes are fixed once the encoder and the codebooks are; the decoder can go on learning (stage `decoder`)
while the language model already trains on the codes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
import torch

from recordings import SAMPLING_RATE, Recording
from spectral_codec import SpectralCodec, SpectralCodecConfig
from spectral_distance import SpectralDistance
from storage import Run, load_weights

BATCH = 8
CROP = SAMPLING_RATE
PEAK_RATE = 1e-3
DECODER_RATE = 6e-4
COMMITMENT = 0.25
REPORT_EVERY = 100


def draw_crop(sounds: list[Recording], digits: list[Recording]) -> np.ndarray:
    """One second of one recording (three of four are sounds), at a random speed and loudness."""
    while True:
        recording = random.choice(sounds if random.random() < 0.75 else digits)
        speed = 1.0 if random.random() < 0.6 else random.uniform(0.85, 1.18)
        length = int(CROP * speed) + 1
        samples = recording.samples
        if len(samples) > length:
            start = random.randrange(len(samples) - length)
            samples = samples[start : start + length]
        if speed != 1.0:
            samples = soxr.resample(samples, SAMPLING_RATE * speed, SAMPLING_RATE, quality="LQ")
        samples = samples[:CROP]
        if np.abs(samples).max() > 1e-3:
            break
    spare = CROP - len(samples)
    before = random.randint(0, spare)
    samples = np.pad(samples, (before, spare - before))
    return np.clip(samples * 10 ** random.uniform(-0.6, 0.2), -1, 1).astype(np.float32)


def train(training: list[Recording], path: Path, minutes: float) -> None:
    """The whole codec."""
    codec = SpectralCodec(SpectralCodecConfig())
    run = Run(path, minutes, codec, _optimizer(codec), PEAK_RATE)
    levels = codec.config.num_codebooks

    def quantise(target: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        kept = levels if step < 10 or random.random() < 0.7 else random.randint(1, levels)
        return codec.quantizer(codec.encoder(target), kept)

    _train(training, codec, run, quantise)


def train_decoder(training: list[Recording], codec_path: Path, path: Path, minutes: float) -> None:
    """The decoder alone, on the codes of the codec in `codec_path`, which stay as they are."""
    codec = load_weights(codec_path, SpectralCodec(SpectralCodecConfig())).train()
    codec.encoder.requires_grad_(False)
    run = Run(path, minutes, codec, _optimizer(codec.decoder), DECODER_RATE)

    def quantise(target: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return codec.quantizer.decode(codec.encode(target)), torch.zeros(())

    _train(training, codec, run, quantise)


def _optimizer(module: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), betas=(0.8, 0.98), weight_decay=1e-3)


def _train(training: list[Recording], codec: SpectralCodec, run: Run, quantise: Callable) -> None:
    sounds = [r for r in training if r.kind == "sound"]
    digits = [r for r in training if r.kind == "digit"]
    distance = SpectralDistance(codec.config.sampling_rate)
    average = None
    for step in run.steps():
        target = torch.from_numpy(np.stack([draw_crop(sounds, digits) for _ in range(BATCH)]))
        latents, commitment = quantise(target, step)
        spectrum = codec.decoder.spectrum(latents)
        first, second = (codec.decoder.synthesize(spectrum, codec.decoder.fresh_noise(spectrum)) for _ in range(2))
        energy = distance.energy(target, first, second)
        loss = energy + COMMITMENT * commitment
        run.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        run.optimizer.step()
        average = energy.item() if average is None else 0.98 * average + 0.02 * energy.item()
        if (step + 1) % REPORT_EVERY == 0:
            used = (codec.quantizer.counts > 0.01).sum(1).tolist()
            print(f"codec {step + 1} {run.elapsed:.0f}s energy distance {average:.3f} codes in use {used}", flush=True)
