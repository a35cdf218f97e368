"""Data-parallel training on one machine: processes that train copies of a model and average their gradients.

The networks are so small that two threads speed a step up by a quarter only; two processes of one thread each do nearly twice
the work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn


class Group:
    """The processes of a training, seen from one of them. Without `run` there is a single one."""

    def __init__(self):
        joined = dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.size = dist.get_world_size() if joined else 1

    def mean(self, value: float) -> float:
        """Returns the mean of the processes' values, the same in each process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(shared)
        return shared.item() / self.size

    def average_gradients(self, model: nn.Module) -> None:
        """Replaces the gradients of `model` by their means over the processes; a missing gradient counts as zero."""
        if self.size == 1:
            return
        parameters = list(model.parameters())
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        dist.all_reduce(flat)
        flat /= self.size
        for parameter, mean in zip(parameters, flat.split([p.numel() for p in parameters])):
            parameter.grad = mean.view_as(parameter)


def run(processes: int, train: Callable[..., None], *arguments: object) -> None:
    """Calls `train(*arguments)` in so many processes of one thread each, and waits for them; a single one is this process.

    Both must be picklable. The error of a process ends the others.
    """
    if processes == 1:
        train(*arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_member, (processes, f"file://{folder}/rendezvous", train, arguments), nprocs=processes)


def _member(rank: int, processes: int, rendezvous: str, train: Callable[..., None], arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=processes)
    try:
        train(*arguments)
    finally:
        dist.destroy_process_group()
