"""Stage `decoder`: trains the codec's decoder on one-second crops.

The codes do not change, so the stage may run beside the training of the language model.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import soxr
import torch

from ..audio import SAMPLING_RATE
from ..data.recordings import Recording
from ..storage import Run, load_weights
from ..world.small_world import CONCEPTS
from .spectral_codec import SpectralCodec, SpectralCodecConfig
from .spectral_distance import SpectralDistance

BATCH = 8
CROP = SAMPLING_RATE
PEAK_RATE = 1e-3
REPORT_EVERY = 200
SHARES = {"sound": 0.36, "made": 0.40, "digit": 0.04, "clear": 0.17, "other": 0.03}
LEVELS = (4, 6, 6, 6, 6, 8, 8, 8)  # kept by each clip of a batch in turn: the language model writes only the coarse ones


def draw_crop(recordings: dict[str, list[Recording]]) -> np.ndarray:
    """Draws one second of one recording at a random speed and loudness; `recordings` is keyed by kind."""
    while True:
        recording = random.choice(recordings[random.choices(list(SHARES), list(SHARES.values()))[0]])
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


def train(training: list[Recording], codec_path: Path, path: Path, minutes: float) -> None:
    """Trains the decoder for the fixed codes of the codec in `codec_path`."""
    codec = load_weights(codec_path, SpectralCodec(SpectralCodecConfig())).train()
    decoder = codec.decoder
    optimizer = torch.optim.AdamW(decoder.parameters(), betas=(0.8, 0.98), weight_decay=1e-3)
    run = Run(path, minutes, codec, optimizer, PEAK_RATE)
    recordings = {kind: [r for r in training if r.kind == kind and (kind != "made" or r.label in CONCEPTS)] for kind in SHARES}
    distance = SpectralDistance(codec.config.sampling_rate)
    average = None
    for step in run.steps():
        target = torch.from_numpy(np.stack([draw_crop(recordings) for _ in range(BATCH)]))
        codes = codec.encode(target)
        for clip, levels in zip(codes, LEVELS):
            clip[levels:] = 0
        spectrum = decoder.spectrum(codec.quantizer.decode(codes))
        tones = decoder.tones(spectrum, first_frame=random.randrange(codec.config.noise_period))
        first, second = (tones + decoder.shaped(spectrum, decoder.fresh_noise(spectrum.shape[1], BATCH)) for _ in range(2))
        loss = distance.energy(target, first, second)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if (step + 1) % REPORT_EVERY == 0:
            print(f"decoder {step + 1} {run.elapsed:.0f}s energy distance {average:.3f}", flush=True)
