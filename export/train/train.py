#!/usr/bin/env python3
"""Trains the small default model from recordings to a checkpoint: see README.md beside this file."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

import align_adaptor
import checkpoint
import dialogue
import example_cache
import fit_codec
import joint_codec
import leave_one_out
import recordings
import recover
import select_examples
import small_world
import tokenizer
import train_decoder
import train_encoder
import train_llm
from audio_tower import AudioTower, AudioTowerConfig
from conversation import PromptBuilder
from dialogue import Dialogues
from errors import TrainingError
from language_model import LanguageModel, LanguageModelConfig
from recordings import HoldOut, Recording
from spectral_codec import SpectralCodec, SpectralCodecConfig
from storage import load_weights
from train_encoder import EncoderTrainer
from train_llm import LanguageModelTrainer
from vocabulary import Vocabulary

# Stage → minutes of computing, for those that train.
STAGES = {
    "data": None,
    "codec": None,
    "decoder": 60.0,
    "joint": 9.0,
    "hearing": 120.0,
    "speakers": 8.0,  # each
    "encoder": 60.0,
    "written": None,
    "heard": None,
    "llm": 360.0,
    "checkpoint": None,
}
NEEDS_GPU = ("joint",)  # runs elsewhere only if it is asked for by name


@dataclass
class Recipe:
    """Where everything lies, and the parts as they are after their stages."""

    data: Path | None
    work: Path
    hold_out: HoldOut | None
    half_trained: bool
    device: torch.device
    batch: int | None = None

    def recordings_folder(self) -> Path:
        if self.data is None:
            raise TrainingError("--data is missing: the folder that holds esc10/ and spoken-digits/")
        return self.data

    @property
    def recordings(self) -> list[Recording]:
        return recordings.load(self.work / "recordings.npz")

    @property
    def divided(self) -> tuple[list[Recording], list[Recording]]:
        return recordings.split(self.recordings, self.hold_out)

    def codec(self) -> SpectralCodec:
        joint, path = self.work / joint_codec.CODEC_FILE, self.work / "decoder.pt"
        if joint.exists():
            return load_weights(joint, SpectralCodec(joint_codec.CONFIG))
        return load_weights(path if path.exists() else self.work / "codec.pt", SpectralCodec(SpectralCodecConfig()))

    def tower(self) -> AudioTower:
        return load_weights(self.work / "encoder.pt", EncoderTrainer(list(small_world.CONCEPTS))).tower

    def tokenizer(self) -> Tokenizer:
        path = self.work / "tokenizer.json"
        if not path.exists():
            tokenizer.train(dialogue.corpus(), LanguageModelConfig().vocab_size).save(str(path))
        return Tokenizer.from_file(str(path))

    def language_model(self) -> LanguageModel:
        config, codec = LanguageModelConfig(), SpectralCodecConfig()
        vocabulary = Vocabulary(config.vocab_size, codec.num_codebooks, codec.codebook_size)
        return LanguageModel(config, vocabulary, AudioTowerConfig().output_dim)

    def start_of_llm(self) -> Path | None:
        """What the language model begins with: that of a package, fitted to the tower if it was trained since; None without one."""
        start, tower, aligned = (self.work / recover.START / name for name in ("llm.pt", "encoder.pt", "llm-aligned.pt"))
        if not start.exists() or not (self.work / "encoder.pt").exists():
            return start if start.exists() else None
        if not aligned.exists():
            old = load_weights(tower, EncoderTrainer(list(small_world.CONCEPTS)), strict=False).tower
            align_adaptor.write_aligned(start, old, self.tower(), self.divided[0], aligned)
        return aligned

    def prompts(self, model: LanguageModel) -> PromptBuilder:
        return PromptBuilder(model.vocabulary, self.tokenizer(), model.adaptor["continuous_audio"].in_features)

    def trained_language_model(self) -> LanguageModel:
        return load_weights(self.work / "llm.pt", LanguageModelTrainer(self.language_model())).model

    def dialogues(self, model: LanguageModel) -> Dialogues:
        heard = self.work / "heard.npz"
        if not heard.exists():
            print("heard.npz is missing: learning only what needs no listening")
        clips = example_cache.load(heard) if heard.exists() else []
        return Dialogues(self.prompts(model), example_cache.load(self.work / "written.npz"), clips)


def run_stage(stage: str, recipe: Recipe, minutes: float | None) -> None:
    work = recipe.work
    if stage == "data":
        if not (work / "recordings.npz").exists():
            recordings.prepare(recipe.recordings_folder(), work / "recordings.npz")
    elif stage == "codec":
        if not (work / "codec.pt").exists() and not (work / joint_codec.CODEC_FILE).exists():
            fit_codec.fit(recipe.divided[0], work / "codec.pt")
    elif stage == "decoder":
        if (work / joint_codec.CODEC_FILE).exists():
            print(f"{joint_codec.CODEC_FILE} holds a decoder of its own: nothing to do")
        else:
            train_decoder.train(recipe.divided[0], work / "codec.pt", work / "decoder.pt", minutes)
    elif stage == "joint":
        decoder = work / "decoder.pt"
        start = decoder if decoder.exists() else work / "codec.pt"
        joint_codec.train(recipe.divided[0], start, work / "joint.pt", minutes, recipe.device, batch=recipe.batch or joint_codec.BATCH)
    elif stage == "hearing":
        training, validation = recipe.divided
        train_encoder.train(leave_one_out.without_speakers(training), validation, work / "hearing.pt", minutes)
    elif stage == "speakers":
        spoken = [r for r in recipe.recordings if r.kind == "digit"]
        leave_one_out.measure(leave_one_out.without_speakers(recipe.divided[0]) + spoken, work / "hearing.pt", work / "speakers", minutes)
    elif stage == "encoder":
        hearing = work / "hearing.pt"
        start = hearing if hearing.exists() else work / recover.START / "encoder.pt"
        model = train_encoder.train(*recipe.divided, work / "encoder.pt", minutes, start)
        print(f"encoder, all that was held out: {train_encoder.validate(model, recipe.divided[1])}", flush=True)
    elif stage == "written":
        if not (work / "written.npz").exists():
            select_examples.select(recipe.divided[0], recipe.codec(), work / "written.npz")
    elif stage == "heard":
        if not (work / "heard.npz").exists():
            written = example_cache.load(work / "written.npz")
            example_cache.build_heard(recipe.divided[0], written, recipe.codec(), recipe.tower(), work / "heard.npz")
    elif stage == "llm":
        model = recipe.language_model()
        train_llm.train(LanguageModelTrainer(model), recipe.dialogues(model), work / "llm.pt", minutes, start=recipe.start_of_llm())
    elif stage == "checkpoint":
        checkpoint.write(
            work / "checkpoint",
            recipe.trained_language_model(),
            recipe.tower(),
            recipe.codec(),
            recipe.tokenizer(),
            checkpoint.attribution(recipe.recordings_folder()),
            recipe.half_trained,
        )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds esc10/ and spoken-digits/; not needed once WORK/recordings.npz is there")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches, training state and the checkpoint")
    parser.add_argument("--package", type=Path, help="begin with the weights of this package, which the recipe made before")
    parser.add_argument("--stage", nargs="+", choices=list(STAGES), help="run only these stages (default: all in order; joint with --device cuda)")
    parser.add_argument("--minutes", type=float, help="budget of a training stage, over all sittings")
    parser.add_argument("--all", action="store_true", help="train on everything: no fold and no speaker is held out")
    parser.add_argument("--half-trained", action="store_true", help="mark the checkpoint as unfinished")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all)")
    parser.add_argument("--device", default="cpu", help="where the stage `joint` computes: cpu or cuda (default: %(default)s)")
    parser.add_argument("--batch", type=int, help="clips in a batch of the stage `joint`")
    return parser.parse_args(arguments)


def device(name: str) -> torch.device:
    """The device of that name, if it is there."""
    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"--device {name}: {str(error).splitlines()[0]}; PyTorch {torch.__version__} computes on the CPU without it") from error
    return found


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    try:
        hold_out = None if options.all else HoldOut()
        recipe = Recipe(options.data, options.work, hold_out, options.half_trained, device(options.device), options.batch)
        if options.package:
            recover.recover(options.package, options.work)
        for stage in options.stage or [stage for stage in STAGES if stage not in NEEDS_GPU or recipe.device.type != "cpu"]:
            print(f"== {stage}", flush=True)
            run_stage(stage, recipe, options.minutes or STAGES[stage])
    except TrainingError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command resumes", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
