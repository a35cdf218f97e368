"""Bad training input: what is broken is named, what was reached is kept, and the same command goes on."""

import contextlib
import io
import resource
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "export" / "train"))

import files
import recordings
from errors import TrainingError
from storage import Run, load_weights


class TemporaryFolderTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)


class Recordings(TemporaryFolderTest):
    def write(self, name: str, samples: np.ndarray, rate: int = 16_000) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, format="WAV")
        return path

    def read(self) -> tuple[list[recordings.Recording], str]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            return list(recordings._recorded(self.folder)), said.getvalue()

    def test_broken_files_are_named_and_left_out(self):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
        self.write("esc10/dog_bark/1-1-A.ogg", noise)
        self.write("spoken-digits/3_ann_0.wav", noise)
        broken = [self.folder / "esc10/dog_bark" / name for name in ("1-2-A.ogg", "1-3-A.ogg", "1-4-A.ogg")]
        broken[0].write_bytes(b"not a sound")
        broken[1].write_bytes(b"")
        self.write("esc10/dog_bark/1-4-A.ogg", noise[:0])
        found, said = self.read()
        self.assertEqual([(r.kind, r.label, r.split) for r in found], [("sound", "dog bark", "1"), ("digit", "three", "ann")])
        for path in broken:
            self.assertIn(str(path), said)

    def test_samples_that_are_not_finite_are_left_out(self):
        path = self.folder / "esc10/rain/2-1-A.ogg"
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.array([0.1, np.nan, 0.2], np.float32), 16_000, format="WAV", subtype="FLOAT")
        found, said = self.read()
        self.assertEqual(found, [])
        self.assertIn("not finite", said)

    def test_other_rates_and_channels_become_16_khz_mono(self):
        self.write("esc10/rain/2-1-A.ogg", np.full((44_100, 2), 0.25), 44_100)
        found, _ = self.read()
        self.assertEqual(found[0].samples.shape, (16_000,))
        self.assertAlmostEqual(float(found[0].samples[8000]), 0.25, places=3)

    def test_an_empty_folder_is_an_error_before_anything_is_rendered(self):
        with self.assertRaisesRegex(TrainingError, "no readable sound recordings.*esc10/CLASS"):
            recordings.prepare(self.folder, self.folder / "recordings.npz")
        self.assertFalse((self.folder / "recordings.npz").exists())


class Resuming(TemporaryFolderTest):
    MINUTES = 1e6  # the tests stop by steps, not by time

    def run_of(self, size: int = 4) -> tuple[Run, torch.nn.Linear]:
        torch.manual_seed(1)
        model = torch.nn.Linear(size, 1)
        optimizer = torch.optim.AdamW(model.parameters())
        return Run(self.folder / "state.pt", self.MINUTES, model, optimizer, 1e-2), model

    def train(self, last_step: int) -> torch.Tensor:
        run, model = self.run_of()
        with contextlib.redirect_stdout(io.StringIO()):
            for step in run.steps(warm_up=1):
                x = torch.from_numpy(np.random.default_rng(step).normal(size=(8, 4)).astype(np.float32))
                run.optimizer.zero_grad()
                (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
                run.optimizer.step()
                if step == last_step:
                    run.step += 1
                    break
        return model.weight.detach().clone()

    def test_an_interrupted_run_goes_on_where_it_was(self):
        with contextlib.redirect_stdout(io.StringIO()):
            whole = self.train(19)
            (self.folder / "state.pt").unlink()
            self.train(9)
            resumed = self.train(19)
        torch.testing.assert_close(resumed, whole, rtol=1e-4, atol=1e-6)

    def test_an_interrupt_stores_the_state(self):
        run, _ = self.run_of()
        with self.assertRaises(KeyboardInterrupt):
            for step in run.steps():
                if step == 3:
                    raise KeyboardInterrupt
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(self.run_of()[0].step, 3)

    def test_a_full_disk_is_reported_and_leaves_the_old_state(self):
        self.train(5)
        before = (self.folder / "state.pt").read_bytes()
        run, _ = self.run_of()
        with disk_full_after(100), self.assertRaisesRegex(TrainingError, "cannot write .*state.pt"):
            run.save()
        self.assertEqual((self.folder / "state.pt").read_bytes(), before)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["state.pt"])

    def test_a_state_of_another_recipe_is_an_error(self):
        self.train(2)
        with self.assertRaisesRegex(TrainingError, "does not fit this recipe"):
            self.run_of(size=5)

    def test_a_damaged_state_is_an_error(self):
        (self.folder / "state.pt").write_bytes(b"torn")
        with self.assertRaisesRegex(TrainingError, "state.pt"):
            self.run_of()

    def test_a_stage_without_the_one_before_it_is_an_error(self):
        with self.assertRaisesRegex(TrainingError, "run the stage before this one first"):
            load_weights(self.folder / "absent.pt", torch.nn.Linear(1, 1))


class Writing(TemporaryFolderTest):
    def test_a_folder_that_cannot_be_written_is_an_error(self):
        (self.folder / "file").write_bytes(b"")
        with self.assertRaises((TrainingError, OSError)):
            files.write_atomically(self.folder / "file" / "state.pt", lambda file: file.write(b"x"))


@contextlib.contextmanager
def disk_full_after(size: int):
    """Files cannot grow beyond `size` bytes, as on a disk without room."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


if __name__ == "__main__":
    unittest.main()
