"""Stage `heard`: computes the encoder features of everything that the language model hears."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from ..audio import SAMPLING_RATE, augment
from ..audio.log_mel import log_mel
from ..codec.spectral_codec import SpectralCodec
from ..data import rendering, units
from ..data.recordings import Recording, grouped
from ..data.units import Unit
from ..encoder import speech
from ..encoder.audio_tower import AudioTower
from ..sounds.voices import DIGITS
from ..world import scenes
from ..world.scenes import Scene, Sound
from ..world.small_world import CONCEPTS, IS_EVENT
from .clips import Clip, decode, encode, store
from .guides import Placed

RECORDED_VARIANTS = 6  # of every recorded sound
MADE_VARIANTS = 3
HEARD_SCENES = 8000
CODED_SHARE = 0.4  # of the scenes: encoded and decoded by the codec, as the model's own sounds are
HEARD_STRINGS = 5000
VARIED_SHARE = 0.5  # of the strings: with another voice and microphone
HEARD_PHRASES = 300
OWN_SCENES = 3000  # of the units that the model writes, so that it recognises its own sounds
OWN_STRINGS = 600
LONGEST_OWN = 3  # seconds of a unit in these scenes


def features(tower: AudioTower, samples: np.ndarray, augmented: bool = False) -> np.ndarray:
    mel = log_mel(samples)
    if augmented:
        mel = augment.mask_spectrum(augment.tilt_spectrum(mel), max_bins=12, max_frames=12)
    return encoded(tower, mel)


@torch.no_grad()
def encoded(tower: AudioTower, mel: np.ndarray) -> np.ndarray:
    return tower.encode([mel])[0].numpy().astype(np.float16)


def spelled(words: list[Recording]) -> str:
    return " ".join(word.label for word in words)


def build(training: list[Recording], written: list[Clip], codec: SpectralCodec, tower: AudioTower, path: Path) -> None:
    sounds = [r for r in training if r.kind in ("sound", "made") and r.label in CONCEPTS]
    staged = units.extract(training, IS_EVENT)
    clips = [_heard_sound(tower, r, sounds) for r in sounds for _ in range(RECORDED_VARIANTS if r.kind == "sound" else MADE_VARIANTS)]
    clips += [_heard_scene(tower, codec, staged) for _ in range(HEARD_SCENES)]
    voices = [grouped(training, (kind,), lambda r: r.split) for kind in ("digit", "other")]
    clips += [_heard_string(tower, random.choice(voices), sounds) for _ in range(HEARD_STRINGS)]
    phrases = [r for r in training if r.kind == "clear"]
    clips += [_heard_words(tower, [random.choice(phrases)], sounds) for _ in range(HEARD_PHRASES)]
    store(clips + heard_own(written, sounds, codec, tower), path)


def heard_own(written: list[Clip], sounds: list[Recording], codec: SpectralCodec, tower: AudioTower) -> list[Clip]:
    """Makes scenes and digit strings from the decoded units that the model writes."""
    staged = {}
    voices = {}
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
    """Draws one to four digits of one speaker, or of synthetic voices; single digits are mostly unchanged recordings, cut close."""
    words = random.choices(random.choice(list(speakers.values())), k=random.choice((1, 1, 1, 2, 3, 4)))
    if random.random() >= VARIED_SHARE:
        return _heard_words(tower, words, sounds)
    mel, _ = speech.vary(speech.say(words), sounds, synthetic=words[0].kind != "digit")
    return Clip(encoded(tower, mel), words=spelled(words))


def _heard_words(tower: AudioTower, words: list[Recording], sounds: list[Recording]) -> Clip:
    samples = words[0].samples
    if len(words) > 1 or (words[0].kind != "clear" and random.random() < 0.3):
        samples = speech.in_row(words).samples
    if random.random() < 0.8:
        samples = augment.change_speed(samples, 0.82, 1.22)
    if random.random() < 0.3:
        samples = augment.mix(samples, random.choice(sounds).samples, random.uniform(10, 30))
    if random.random() < 0.4:
        samples = augment.add_noise(samples)
    return Clip(features(tower, samples, augmented=True), words=spelled(words))
