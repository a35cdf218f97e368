"""The resumable state of a training stage."""

from __future__ import annotations

import math
import pickle
import random
import time
from pathlib import Path

import numpy as np
import torch

from . import parallel
from .errors import TrainingError
from .files import write_atomically


class Run:
    """Time budget, learning-rate schedule and resumable state of one training stage.

    A stage lasts as long as its budget of minutes, counted over all sittings. A larger budget later continues from the
    stored state. On a CPU the time of its thread counts: on an idle machine this equals wall-clock time; on a busy machine a
    stage takes longer and learns as much. On a GPU wall-clock time counts.
    """

    SAVE_EVERY = 60.0

    def __init__(
        self, path: Path, minutes: float, model: torch.nn.Module, optimizer: torch.optim.Optimizer, peak: float, start: Path | None = None
    ):
        """Resumes from the state in `path`, or else begins with the weights in `start`, or else with those of `model`."""
        self.path = path
        self.group = parallel.Group()
        self.budget = minutes * 60.0
        self.peak = peak
        self.model = model
        self.optimizer = optimizer
        on_cpu = next(model.parameters()).device.type == "cpu"
        self._clock = time.thread_time if on_cpu else time.monotonic
        self.step = 0
        self.spent = 0.0
        if path.exists():
            try:
                stored = read(path)
                model.load_state_dict(stored["model"])
                optimizer.load_state_dict(stored["optimizer"])
            except (RuntimeError, KeyError, ValueError) as error:
                raise TrainingError(f"{path} does not fit this recipe; remove it to start again: {error}") from error
            self.step = stored["step"]
            self.spent = stored["spent"]
            print(f"resuming {path.name} at step {self.step}, {self.spent / 60:.1f} minutes in", flush=True)
        elif start is not None and start.exists():
            begin_with(start, model)
        seed = self.step * self.group.size + self.group.rank
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        self._since = self._clock()
        self._saved = time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.spent + self._clock() - self._since

    @property
    def progress(self) -> float:
        """The used share of the budget, 0..=1; the mean over the processes, each of which must ask as often as the others."""
        used = min(1.0, self.elapsed / self.budget) if self.budget else 1.0
        return self.group.mean(used)

    def steps(self, warm_up: int = 100, floor: float = 0.05):
        """Yields step numbers until the budget is used up; sets the learning rate and stores the state."""
        try:
            while self.progress < 1.0:
                decay = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * self.progress))
                rate = self.peak * min(1.0, (self.step + 1) / warm_up) * decay
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * group.get("lr_scale", 1.0)
                yield self.step
                self.step += 1
                if time.monotonic() - self._saved > self.SAVE_EVERY:
                    self.save()
        finally:
            self.save()

    def save(self) -> None:
        """Stores the state; of several processes the first does."""
        if self.group.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.elapsed,
        }
        write_atomically(self.path, lambda file: torch.save(state, file))
        self._saved = time.monotonic()


def finished(path: Path) -> Path:
    """Returns `path`, the state of the stage of the same name, which must have run."""
    if not path.exists():
        raise TrainingError(f"{path} is missing: run the stage `{path.stem}` first")
    return path


def read(path: Path) -> dict:
    """Reads the state of a stage."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} is damaged; remove it to start this stage again: {error}") from error


def begin_with(path: Path, model: torch.nn.Module) -> None:
    """Sets the initial weights from an earlier training or a package: those of the model, or of a part of it with the same names."""
    stored = read(path)["model"]
    own = model.state_dict()
    unfit = [name for name, value in stored.items() if name not in own or own[name].shape != value.shape]
    if unfit:
        name = unfit[0]
        expected = list(own[name].shape) if name in own else "no such weight"
        raise TrainingError(
            f"{path} does not fit this recipe: {name} has the shape {list(stored[name].shape)}; expected {expected} "
            f"(the first of {len(unfit)}); remove the file and run its stage again, or start with a package of this recipe"
        )
    model.load_state_dict(stored, strict=False)
    print(f"starting with {len(stored)} of {len(own)} weights, from {path}", flush=True)


def load_weights(path: Path, model: torch.nn.Module, strict: bool = True) -> torch.nn.Module:
    """Loads the weights of a finished stage into `model` and sets it to evaluation mode. With `strict`, none may be missing."""
    if not path.exists():
        raise TrainingError(f"{path} is missing: run the stage before this one first")
    try:
        model.load_state_dict(read(path)["model"], strict=strict)
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"{path} does not fit this recipe; remove it and run its stage again: {error}") from error
    return model.eval()
