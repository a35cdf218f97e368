#!/usr/bin/env python3
"""Measures what was trained, before it is exported: with independent judges, on what was held out."""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import torch

import example_cache
import small_world
from augment import trim_silence
from checkpoint import GENERATION, PROMPTS
from dialogue import Part
from errors import TrainingError
from judges import DigitJudge, SoundJudge
from recordings import DIGITS, SAMPLING_RATE, HoldOut, Recording
from sampling import Sampler, SamplingConfig
from train import Recipe
from vocabulary import AUDIO, SPEECH, TEXT


class Tally:
    """Shares of successes, by group."""

    def __init__(self):
        self._hits: dict[str, list[bool]] = defaultdict(list)

    def add(self, group: str, hit: bool) -> None:
        self._hits[group].append(hit)

    def report(self, title: str) -> None:
        every = [hit for hits in self._hits.values() for hit in hits]
        parts = ", ".join(f"{group} {np.mean(hits):.2f}" for group, hits in sorted(self._hits.items()))
        print(f"{title}: {np.mean(every):.3f} of {len(every)} ({parts})", flush=True)


def whole_frames(samples: np.ndarray, hop: int) -> torch.Tensor:
    return torch.from_numpy(samples[: len(samples) // hop * hop].copy())[None]


def measure_codec(recipe: Recipe, clips: list[Recording]) -> None:
    """Judges of the originals and of their round trip through the codec."""
    codec, sounds, digits = recipe.codec(final=True), SoundJudge(), DigitJudge()
    before, after, read_before, read_after = Tally(), Tally(), Tally(), Tally()
    for clip in clips:
        samples = trim_silence(clip.samples, threshold=0.01)
        decoded = codec.decode(codec.encode(whole_frames(samples, codec.config.hop_length)))[0].numpy()
        if clip.kind == "sound":
            before.add(clip.label, sounds.recognises(samples, clip.label))
            after.add(clip.label, sounds.recognises(decoded, clip.label))
        else:
            read_before.add(clip.label, digits.read(samples) == [clip.label])
            read_after.add(clip.label, digits.read(decoded) == [clip.label])
    before.report("judge names the original")
    after.report("judge names the round trip")
    read_before.report("judge reads the original digit")
    read_after.report("judge reads the round trip digit")


def sampler(recipe: Recipe, guidance: float | None = None) -> Sampler:
    settings = {name: dict(values) for name, values in GENERATION.items()}
    if guidance is not None:
        settings["audio"]["guidance"] = settings["speech"]["guidance"] = guidance
    model = recipe.trained_language_model()
    return Sampler(model, recipe.prompts(model), {name: SamplingConfig(**values) for name, values in settings.items()})


def measure_hearing(recipe: Recipe, clips: list[Recording]) -> None:
    """Answers to the two standard questions about recordings."""
    tower, asker = recipe.tower(), sampler(recipe)
    named, read = Tally(), Tally()
    for clip in clips:
        if clip.kind == "sound":
            heard = example_cache.features(tower, clip.samples)
            reply = asker.reply([Part(AUDIO, features=heard), Part(TEXT, text=PROMPTS["ask"])])[0]
            named.add(clip.label, small_world.name(clip.label) in (reply.text or ""))
        else:
            heard = example_cache.features(tower, clip.samples)
            reply = asker.reply([Part(TEXT, text=PROMPTS["transcribe"]), Part(SPEECH, features=heard)])[0]
            read.add(clip.label, reply.text == clip.label)
    named.report("sounds named")
    read.report("digits transcribed")


def measure_generation(recipe: Recipe, count: int, guidance: float | None, out: Path | None) -> None:
    """Judges of generated sounds and digits, the modality chosen by the model itself."""
    codec, maker = recipe.codec(final=True), sampler(recipe, guidance)
    sounds, digits = SoundJudge(), DigitJudge()
    named, read, chosen, ended = Tally(), Tally(), Tally(), Tally()
    prompts = [(label, small_world.name(label), "audio") for label in small_world.SOUNDS]
    prompts += [(word, word, "speech") for word in DIGITS]
    for label, prompt, modality in prompts:
        free = maker.reply([Part(TEXT, text=prompt)], 1, seed=7)[0]
        chosen.add(modality, free.modality == modality)
        seconds = []
        for i, segment in enumerate(maker.reply([Part(TEXT, text=prompt)], count, force=modality, seed=1)):
            ended.add(modality, segment.ended)
            seconds.append(segment.codes.shape[1] / 50)
            if not segment.codes.shape[1]:
                (named if modality == "audio" else read).add(label, False)
                continue
            samples = codec.decode(torch.from_numpy(segment.codes)[None])[0].numpy()
            if out:
                out.mkdir(parents=True, exist_ok=True)
                soundfile.write(out / f"{label.replace(' ', '_')}_{i}.wav", samples, SAMPLING_RATE)
            if modality == "audio":
                named.add(label, sounds.recognises(samples, label))
            else:
                read.add(label, digits.read(samples) == [label])
        if modality == "audio":
            print(f"{label}: {np.mean(seconds):.1f} s, last heard as {sounds.top(samples)}", flush=True)
    chosen.report("modality chosen rightly")
    ended.report("ended by itself")
    named.report("judge names the generated sound")
    read.report("judge reads the generated digit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("codec", "hearing", "generation"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="use only every n-th held-out recording")
    parser.add_argument("--count", type=int, default=4, help="sounds generated for each prompt")
    parser.add_argument("--guidance", type=float, help="instead of the package's own")
    parser.add_argument("--out", type=Path, help="folder for the generated sounds")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random.seed(0)
    recipe = Recipe(options.data, options.work, HoldOut(), False)
    held_out = recipe.divided[1]
    # There are more digits than sounds: look at as many of each.
    clips = [r for r in held_out if r.kind == "sound"][:: options.every]
    clips += [r for r in held_out if r.kind == "digit"][:: 5 * options.every]
    try:
        if options.what == "codec":
            measure_codec(recipe, clips)
        elif options.what == "hearing":
            measure_hearing(recipe, clips)
        else:
            measure_generation(recipe, options.count, options.guidance, options.out)
    except TrainingError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
