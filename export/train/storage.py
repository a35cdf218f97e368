"""The state of a training stage that can be resumed."""

from __future__ import annotations

import math
import pickle
import random
import time
from pathlib import Path

import numpy as np
import torch

from .errors import TrainingError
from .files import write_atomically


class Run:
    """Budget of time, learning-rate schedule and resumable state of one training stage.

    A stage is as long as its budget of minutes, counted over all sittings; asking for more minutes later
    continues from the stored state. What counts is the time that its thread computes: on a machine that does nothing
    else this is the clock on the wall, on a busy one a stage lasts longer and learns as much.
    """

    SAVE_EVERY = 60.0

    def __init__(
        self, path: Path, minutes: float, model: torch.nn.Module, optimizer: torch.optim.Optimizer, peak: float, start: Path | None = None
    ):
        """`start`: weights to begin with while nothing is stored in `path`."""
        self.path, self.budget, self.peak = path, minutes * 60.0, peak
        self.model, self.optimizer = model, optimizer
        on_cpu = next(model.parameters()).device.type == "cpu"
        self._clock = time.thread_time if on_cpu else time.monotonic
        self.step, self.spent = 0, 0.0
        if path.exists():
            try:
                stored = read(path)
                model.load_state_dict(stored["model"])
                optimizer.load_state_dict(stored["optimizer"])
            except (RuntimeError, KeyError, ValueError) as error:
                raise TrainingError(f"{path} does not fit this recipe; remove it to start again: {error}") from error
            self.step, self.spent = stored["step"], stored["spent"]
            print(f"resuming {path.name} at step {self.step}, {self.spent / 60:.1f} minutes in", flush=True)
        elif start is not None and start.exists():
            begin_with(start, model)
        torch.manual_seed(self.step)
        np.random.seed(self.step)
        random.seed(self.step)
        self._since, self._saved = self._clock(), time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.spent + self._clock() - self._since

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is used up."""
        return min(1.0, self.elapsed / self.budget) if self.budget else 1.0

    def steps(self, warm_up: int = 100, floor: float = 0.05):
        """Yields step numbers until the budget is used up, setting the learning rate and storing the state."""
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
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.elapsed,
        }
        write_atomically(self.path, lambda file: torch.save(state, file))
        self._saved = time.monotonic()


def read(path: Path) -> dict:
    """What a stage stored."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} is damaged; remove it to start this stage again: {error}") from error


def begin_with(path: Path, model: torch.nn.Module) -> None:
    """Sets the weights that an earlier training, or a package, gives: those of the model or of a part of it named as here."""
    stored, own = read(path)["model"], model.state_dict()
    strangers = [name for name, value in stored.items() if name not in own or own[name].shape != value.shape]
    if strangers:
        raise TrainingError(f"{path} does not fit this recipe: {strangers[0]} and {len(strangers) - 1} more are unknown here or of another size")
    model.load_state_dict(stored, strict=False)
    print(f"beginning with {len(stored)} of {len(own)} weights, from {path}", flush=True)


def load_weights(path: Path, model: torch.nn.Module, strict: bool = True) -> torch.nn.Module:
    """The weights of a stage that ran before, ready for use; all of them if `strict`."""
    if not path.exists():
        raise TrainingError(f"{path} is missing: run the stage before this one first")
    try:
        model.load_state_dict(read(path)["model"], strict=strict)
    except (RuntimeError, KeyError) as error:
        raise TrainingError(f"{path} does not fit this recipe; remove it and run its stage again: {error}") from error
    return model.eval()
