"""Stage `examples`: what the language model hears (encoder features) and writes (codec codes), computed once.

Every recording comes in several variants: other crops, speeds and loudness.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import augment
from audio_tower import AudioTower
from log_mel import log_mel
from recordings import SAMPLING_RATE, Recording
from spectral_codec import SpectralCodec
from storage import write_atomically
from train_encoder import say

TEXTURES = {"rain", "sea waves", "helicopter", "chainsaw", "fire crackling", "clock tick"}
MAX_SECONDS = 4.0  # of what the model writes
CODE_VARIANTS = 1  # of every sound: a small model learns a few examples well rather than many badly
FEATURE_VARIANTS = 4
WRITTEN_TAKES = 12  # of every digit of every speaker
WRITTEN_STRINGS = 800  # spoken digit strings
HEARD_STRINGS = 5000
WRITTEN_LEVELS = {"sound": 3, "speech": 4}  # levels of the codec that the model must write; see `coarse`
EDGE_SECONDS = 0.06  # silence around spoken words in what the model writes


@dataclass(frozen=True)
class Clip:
    """One variant of one recording, as codes [streams, frames] or as features [frames, size]."""

    label: str  # class of the sound, or the words spoken
    spoken: bool
    data: np.ndarray


def written_sound(recording: Recording) -> np.ndarray:
    """A clear, audible stretch of a sound."""
    samples = augment.trim_silence(recording.samples, threshold=0.01)
    longest = random.uniform(2.0, 3.0) if recording.label in TEXTURES else MAX_SECONDS
    return augment.loud(augment.crop(samples, int(longest * SAMPLING_RATE)), random.uniform(0.5, 0.9))


def heard_sound(recording: Recording, sounds: list[Recording]) -> np.ndarray:
    samples = recording.samples
    if random.random() < 0.7:
        samples = augment.change_speed(samples, 0.85, 1.18)
    if random.random() < 0.4:
        samples = augment.trim_silence(samples)
    samples = augment.crop(samples, int(random.choice((2.0, 3.0, 5.0, 5.0)) * SAMPLING_RATE))
    if random.random() < 0.3:
        samples = augment.mix(samples, random.choice(sounds).samples, random.uniform(12, 30))
    return augment.add_noise(samples) if random.random() < 0.4 else samples


def written_string(words: list[Recording]) -> np.ndarray:
    """One or more words of one speaker."""
    edge = np.zeros(int(EDGE_SECONDS * SAMPLING_RATE), np.float32)
    pieces = [edge]
    for word in words:
        pause = int(random.uniform(0.05, 0.2) * SAMPLING_RATE)
        pieces += [augment.loud(augment.trim_silence(word.samples, 0.02, 0.03), 0.7), np.zeros(pause, np.float32)]
    return np.concatenate([*pieces[:-1], edge])


def heard_string(words: list[Recording], sounds: list[Recording]) -> np.ndarray:
    """Words with pauses around them; single ones mostly as they were recorded, cut close."""
    if len(words) == 1 and random.random() < 0.7:
        samples = words[0].samples
    else:
        samples, _ = say(words)
    if random.random() < 0.8:
        samples = augment.change_speed(samples, 0.82, 1.22)
    if random.random() < 0.3:
        samples = augment.mix(samples, random.choice(sounds).samples, random.uniform(10, 30))
    return augment.add_noise(samples) if random.random() < 0.4 else samples


def draw_words(speakers: dict[str, list[Recording]]) -> list[Recording]:
    return random.choices(speakers[random.choice(list(speakers))], k=random.choice((1, 1, 1, 2, 3, 4)))


def build_codes(training: list[Recording], codec: SpectralCodec, path: Path) -> None:
    sounds, speakers = _divide(training)
    clips = []
    for recording in sounds:
        for _ in range(CODE_VARIANTS):
            clips.append(Clip(recording.label, False, coarse(codec, written_sound(recording), WRITTEN_LEVELS["sound"])))
    takes: Counter[tuple[str, str]] = Counter()
    for recording in (r for r in training if r.kind == "digit"):
        takes[recording.label, recording.split] += 1
        if takes[recording.label, recording.split] > WRITTEN_TAKES:
            continue
        clips.append(Clip(recording.label, True, coarse(codec, written_string([recording]), WRITTEN_LEVELS["speech"])))
    for _ in range(WRITTEN_STRINGS):
        words = draw_words(speakers)
        label = " ".join(w.label for w in words)
        clips.append(Clip(label, True, coarse(codec, written_string(words), WRITTEN_LEVELS["speech"])))
    store(clips, path)


def build_features(training: list[Recording], tower: AudioTower, path: Path) -> None:
    sounds, speakers = _divide(training)
    clips = []
    for recording in sounds:
        for _ in range(FEATURE_VARIANTS):
            clips.append(Clip(recording.label, False, features(tower, heard_sound(recording, sounds), augmented=True)))
    for _ in range(HEARD_STRINGS):
        words = draw_words(speakers)
        samples = heard_string(words, sounds)
        clips.append(Clip(" ".join(w.label for w in words), True, features(tower, samples, augmented=True)))
    store(clips, path)


def encode(codec: SpectralCodec, samples: np.ndarray) -> np.ndarray:
    """Codes of a clip, its end filled up to a whole frame."""
    spare = -len(samples) % codec.config.hop_length
    return codec.encode(torch.from_numpy(np.pad(samples, (0, spare)))[None])[0].numpy().astype(np.int16)


def coarse(codec: SpectralCodec, samples: np.ndarray, levels: int) -> np.ndarray:
    """Codes whose levels from `levels` on add next to nothing: each holds its entry nearest to zero.

    What the fine levels hold of a noise is chance. A small model cannot learn it, and fine codes drawn wrongly
    do more harm to a sound than their absence.
    """
    codes = encode(codec, samples)
    silent = codec.quantizer.codebooks.square().sum(-1).argmin(-1).numpy()
    codes[levels:] = silent[levels:, None]
    return codes


@torch.no_grad()
def features(tower: AudioTower, samples: np.ndarray, augmented: bool = False) -> np.ndarray:
    mel = log_mel(samples)
    if augmented:
        mel = augment.mask_spectrum(augment.tilt_spectrum(mel), max_bins=12, max_frames=12)
    return tower.encode([mel])[0].numpy().astype(np.float16)


def store(clips: list[Clip], path: Path) -> None:
    flat = np.concatenate([c.data.ravel() for c in clips])
    index = [dict(label=c.label, spoken=c.spoken, shape=c.data.shape) for c in clips]
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, index=header, flat=flat))
    print(f"{path.name}: {len(clips)} clips", flush=True)


def load(path: Path) -> list[Clip]:
    with np.load(path) as stored:
        index, flat = json.loads(stored["index"].tobytes()), stored["flat"]
    clips, start = [], 0
    for entry in index:
        end = start + int(np.prod(entry["shape"]))
        clips.append(Clip(entry["label"], entry["spoken"], flat[start:end].reshape(entry["shape"])))
        start = end
    return clips


def _divide(training: list[Recording]) -> tuple[list[Recording], dict[str, list[Recording]]]:
    sounds = [r for r in training if r.kind == "sound"]
    speakers: dict[str, list[Recording]] = {}
    for recording in training:
        if recording.kind == "digit":
            speakers.setdefault(recording.split, []).append(recording)
    return sounds, speakers
