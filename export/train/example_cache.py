"""Stages `written` and `heard`: what the language model writes (codec codes of units) and hears (encoder features), computed once."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import augment
import guides
import rendering
import scenes
import units
from audio_tower import AudioTower
from guides import Placed
from log_mel import log_mel
from recordings import DIGITS, SAMPLING_RATE, Recording
from scenes import Scene, Sound
from small_world import CONCEPTS
from spectral_codec import SpectralCodec
from files import write_atomically
from train_encoder import FEATURES_PER_SECOND, by, say
from units import Unit

WRITTEN_LEVELS = 6  # of the codec: what the model must write; see `encode`
RECORDED_VARIANTS = 6  # of every recorded sound that is heard
MADE_VARIANTS = 3
HEARD_SCENES = 8000
CODED_SHARE = 0.4  # of the heard scenes: they went through the codec, as what the model makes itself
HEARD_STRINGS = 5000
HEARD_PHRASES = 300
OWN_SCENES = 3000  # of the sounds that the model learns to write: it must know what it made when it listens to it
OWN_STRINGS = 600
LONGEST_OWN = 3  # seconds of a unit in them


@dataclass(frozen=True)
class Clip:
    """Codes [streams, frames] or features [frames, size], and what they hold: a scene, or words."""

    data: np.ndarray
    scene: Scene | None = None
    words: str | None = None
    voice: str | None = None
    counted: bool = True  # false: how often the event occurs is not known
    units: tuple[Placed, ...] = ()  # of a scene that is heard: where they lie, in seconds
    source: str = ""  # of a unit that is written: see `Unit`
    alone: bool = False  # a long stretch, for a scene that is nothing else

    def guides(self) -> np.ndarray | None:
        """Of the features of a scene whose units are known."""
        return guides.of_units(self.units, len(self.data), FEATURES_PER_SECOND, written=False) if self.units else None


def encode(codec: SpectralCodec, samples: np.ndarray) -> np.ndarray:
    """Codes [streams, frames] of a clip as the model learns to write them; the fine levels say nothing.

    What the fine levels hold of a noise is chance. A small model cannot learn it, and fine codes drawn wrongly do more
    harm to a sound than their absence.
    """
    codes = codec.encode(torch.from_numpy(units.whole(samples))[None])[0].numpy().astype(np.int16)
    codes[WRITTEN_LEVELS:] = 0
    return codes


def decode(codec: SpectralCodec, codes: np.ndarray) -> np.ndarray:
    return codec.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()


@torch.no_grad()
def features(tower: AudioTower, samples: np.ndarray, augmented: bool = False) -> np.ndarray:
    mel = log_mel(samples)
    if augmented:
        mel = augment.mask_spectrum(augment.tilt_spectrum(mel), max_bins=12, max_frames=12)
    return tower.encode([mel])[0].numpy().astype(np.float16)


def build_heard(training: list[Recording], written: list[Clip], codec: SpectralCodec, tower: AudioTower, path: Path) -> None:
    sounds = [r for r in training if r.kind in ("sound", "made") and r.label in CONCEPTS]
    staged = units.extract(training, {label: concept.event for label, concept in CONCEPTS.items()})
    clips = [_heard_sound(tower, r, sounds) for r in sounds for _ in range(RECORDED_VARIANTS if r.kind == "sound" else MADE_VARIANTS)]
    clips += [_heard_scene(tower, codec, staged) for _ in range(HEARD_SCENES)]
    speakers = by(training, ("digit",), lambda r: r.split) | by(training, ("other",), lambda r: r.split)
    clips += [_heard_string(tower, speakers, sounds) for _ in range(HEARD_STRINGS)]
    phrases = [r for r in training if r.kind == "clear"]
    clips += [_heard_words(tower, [random.choice(phrases)], sounds) for _ in range(HEARD_PHRASES)]
    store(clips + heard_own(written, sounds, codec, tower), path)


def heard_own(written: list[Clip], sounds: list[Recording], codec: SpectralCodec, tower: AudioTower) -> list[Clip]:
    """Scenes and strings of what the model writes, as it sounds when it is decoded."""
    staged, voices = {}, {}
    for clip in written:
        samples = decode(codec, clip.data)
        if clip.words in DIGITS:
            voices.setdefault(clip.voice, []).append(Recording(clip.words, "clear", clip.words, clip.voice, samples))
        elif clip.scene and not clip.scene.background:
            label = clip.scene.labels[0]
            staged.setdefault(label, []).append(Unit(label, samples[: LONGEST_OWN * SAMPLING_RATE]))
    clips = [_heard_scene(tower, codec, staged, coded_share=0.0) for _ in range(OWN_SCENES)]
    return clips + [_heard_string(tower, voices, sounds) for _ in range(OWN_STRINGS)]


def _heard_sound(tower: AudioTower, recording: Recording, sounds: list[Recording]) -> Clip:
    samples = recording.samples
    if random.random() < 0.7:
        samples = augment.change_speed(samples, 0.85, 1.18)
    if random.random() < 0.4:
        samples = augment.trim_silence(samples)
    samples = augment.crop(samples, int(random.choice((2.0, 3.0, 5.0, 5.0)) * SAMPLING_RATE))
    if random.random() < 0.3:
        samples = augment.mix(samples, random.choice(sounds).samples, random.uniform(12, 30))
    if random.random() < 0.4:
        samples = augment.add_noise(samples)
    return Clip(features(tower, samples, augmented=True), scene=Scene((Sound(recording.label),)), counted=False)


def _heard_scene(tower: AudioTower, codec: SpectralCodec, staged: dict[str, list[Unit]], coded_share: float = CODED_SHARE) -> Clip:
    scene = scenes.draw()
    samples, spans = rendering.render(scene, staged, varied=True)
    if random.random() < coded_share:
        samples = decode(codec, encode(codec, samples))
    elif random.random() < 0.4:
        samples = augment.add_noise(samples)
    placed = () if scene.background else tuple(Placed(span.sound.label, span.start, span.end) for span in spans)
    return Clip(features(tower, samples, augmented=True), scene=scene, units=placed)


def _heard_string(tower: AudioTower, speakers: dict[str, list[Recording]], sounds: list[Recording]) -> Clip:
    """One to four digits of one speaker; single ones mostly as they were recorded, cut close."""
    return _heard_words(tower, random.choices(random.choice(list(speakers.values())), k=random.choice((1, 1, 1, 2, 3, 4))), sounds)


def _heard_words(tower: AudioTower, words: list[Recording], sounds: list[Recording]) -> Clip:
    samples = words[0].samples
    if len(words) > 1 or (words[0].kind != "clear" and random.random() < 0.3):
        samples, _ = say(words)
    if random.random() < 0.8:
        samples = augment.change_speed(samples, 0.82, 1.22)
    if random.random() < 0.3:
        samples = augment.mix(samples, random.choice(sounds).samples, random.uniform(10, 30))
    if random.random() < 0.4:
        samples = augment.add_noise(samples)
    return Clip(features(tower, samples, augmented=True), words=" ".join(w.label for w in words))


def store(clips: list[Clip], path: Path) -> None:
    flat = np.concatenate([c.data.ravel() for c in clips])
    index = [
        dict(
            shape=c.data.shape, scene=c.scene and c.scene.to_dict(), words=c.words, voice=c.voice, counted=c.counted, units=c.units,
            source=c.source, alone=c.alone,
        )  # fmt: skip
        for c in clips
    ]
    header = np.frombuffer(json.dumps(index).encode(), dtype=np.uint8)
    write_atomically(path, lambda file: np.savez(file, index=header, flat=flat))
    print(f"{path.name}: {len(clips)} clips", flush=True)


def load(path: Path) -> list[Clip]:
    with np.load(path) as stored:
        index, flat = json.loads(stored["index"].tobytes()), stored["flat"]
    clips, start = [], 0
    for entry in index:
        shape = entry.pop("shape")
        end = start + int(np.prod(shape))
        scene = entry["scene"] and Scene.from_dict(entry["scene"])
        placed = tuple(Placed(*unit) for unit in entry["units"])
        clips.append(Clip(flat[start:end].reshape(shape), **{**entry, "scene": scene, "units": placed}))
        start = end
    return clips
