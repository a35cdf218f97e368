"""Training in several processes: what one process with all the data would do."""

import unittest
from pathlib import Path

import context
import torch
from train import parallel, storage
from train.storage import Run

STEPS = 3


def batch(member: int, step: int) -> torch.Tensor:
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(10 * step + member))


def train(path: Path) -> None:
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 1)
    run = Run(path, 1e6, model, torch.optim.SGD(model.parameters()), 1e-2)
    for step in run.steps(warm_up=1):
        run.optimizer.zero_grad()
        model(batch(run.group.rank, step)).square().mean().backward()
        run.group.average_gradients(model)
        run.optimizer.step()
        if step == STEPS - 1:
            break


def weights_by_one_process() -> torch.Tensor:
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for step in range(STEPS):
        optimizer.zero_grad()
        model(torch.cat([batch(0, step), batch(1, step)])).square().mean().backward()
        optimizer.step()
    return model.weight.detach()


class Processes(context.TemporaryFolderTest):
    def test_two_processes_make_the_updates_of_one_with_both_batches(self):
        path = self.folder / "state.pt"
        parallel.run(2, train, path)
        torch.testing.assert_close(storage.read(path)["model"]["weight"], weights_by_one_process(), rtol=1e-4, atol=1e-6)

    def test_a_single_process_averages_nothing(self):
        group = parallel.Group()
        self.assertEqual((group.rank, group.size, group.mean(0.25)), (0, 1, 0.25))


if __name__ == "__main__":
    unittest.main()
