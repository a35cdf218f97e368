#!/usr/bin/env python3
"""Trains the small default model from recordings to a checkpoint: see README.md beside this file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

import recordings
import train_codec
import train_encoder
from errors import TrainingError
from recordings import HoldOut

STAGES = ("data", "codec", "encoder", "llm", "checkpoint")
MINUTES = {"codec": 60.0, "encoder": 25.0, "llm": 60.0}


def run_stage(stage: str, options: argparse.Namespace) -> None:
    work: Path = options.work
    archive = work / "recordings.npz"
    if stage == "data":
        if not archive.exists():
            recordings.prepare(options.data, archive)
        return
    training, validation = recordings.split(recordings.load(archive), None if options.all else HoldOut())
    minutes = MINUTES.get(stage, 0.0) if options.minutes is None else options.minutes
    if stage == "codec":
        train_codec.train(training, work / "codec.pt", minutes)
    elif stage == "encoder":
        train_encoder.train(training, validation, work / "encoder.pt", minutes)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds esc10/ and spoken-digits/")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches, training state and the checkpoint")
    parser.add_argument("--stage", choices=STAGES, help="run only this stage (default: all in order)")
    parser.add_argument("--minutes", type=float, help="wall-clock budget of the stage, over all sittings")
    parser.add_argument("--all", action="store_true", help="train on everything: no fold and no speaker is held out")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all)")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    try:
        for stage in [options.stage] if options.stage else STAGES:
            print(f"== {stage}", flush=True)
            run_stage(stage, options)
    except TrainingError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command resumes", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
