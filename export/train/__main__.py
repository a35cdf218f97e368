"""Trains the small default model from recordings to a checkpoint. See README.md beside this file."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import torch

from . import recover
from .data.recordings import HoldOut
from .errors import TrainingError
from .recipe import Recipe
from .stages import STAGES


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    data = "folder that holds esc10/ and spoken-digits/: for `checkpoint`, and for `data` until WORK/recordings.npz exists"
    parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--work", type=Path, required=True, help="folder for caches, training state and the checkpoint")
    parser.add_argument("--package", type=Path, help="begin with the weights of this package, made by an earlier run of the recipe")
    stages = "run only these stages (default: all in order; joint with --device cuda)"
    parser.add_argument("--stage", nargs="+", choices=list(STAGES), help=stages)
    parser.add_argument("--minutes", type=minutes, help="budget of a training stage, over all sittings; 0 stores its initial state")
    parser.add_argument("--all", action="store_true", help="train on everything: hold out no fold and no speaker")
    parser.add_argument("--half-trained", action="store_true", help="mark the checkpoint as unfinished")
    parser.add_argument("--threads", type=count, default=os.cpu_count(), help="CPU threads (default: all)")
    processes = "processes of the stages `hearing`, `speech`, `encoder` and `llm`, of one thread each (default: %(default)s)"
    parser.add_argument("--processes", type=count, default=1, help=processes)
    parser.add_argument("--device", default="cpu", help="device of the stage `joint`: cpu or cuda (default: %(default)s)")
    parser.add_argument("--batch", type=count, help="clips in a batch of the stage `joint`")
    return parser.parse_args(arguments)


def minutes(text: str) -> float:
    """Parses a budget: a finite number of minutes, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a budget; expected a finite number of minutes, 0 or more")
    return value


def count(text: str) -> int:
    """Parses a whole number of at least 1."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count; expected a whole number, 1 or more")
    return value


def device(name: str) -> torch.device:
    """Returns the device `name`; raises `TrainingError` if PyTorch cannot compute on it."""
    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"--device {name}: {str(error).splitlines()[0]}; without the option PyTorch {torch.__version__} computes on the CPU"
        ) from error
    return found


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(options.threads)
    try:
        hold_out = None if options.all else HoldOut()
        recipe = Recipe(options.data, options.work, hold_out, options.half_trained, device(options.device), options.batch, options.processes)
        if options.package:
            recover.recover(options.package, options.work)
        on_gpu = recipe.device.type != "cpu"
        for name in options.stage or [name for name, stage in STAGES.items() if on_gpu or not stage.needs_gpu]:
            print(f"== {name}", flush=True)
            STAGES[name].run(recipe, STAGES[name].minutes if options.minutes is None else options.minutes)
    except (TrainingError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command resumes", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
