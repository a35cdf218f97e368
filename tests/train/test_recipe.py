"""The recipe: broken input, interrupted runs, and the targets of the language model."""

import contextlib
import io
import random
import resource
import signal
import unittest
from pathlib import Path
from unittest import mock

import context
import numpy as np
import soundfile
import torch

from train import files, mixed_precision
from train.__main__ import parse
from train.data import prepare
from train.data.recordings import Recording
from train.errors import TrainingError
from train.language_model import guides
from train.language_model.clips import Clip
from train.language_model.conversation import Conversation, PromptBuilder
from train.language_model.guides import Placed
from train.language_model.model import LanguageModel, LanguageModelConfig
from train.language_model.pen import ABRIDGED, Pen
from train.language_model.train_llm import GUIDANCE, STREAM_WEIGHTS, LanguageModelTrainer, collate, losses
from train.language_model.vocabulary import ASSISTANT, AUDIO, BOS, EOS, Vocabulary
from train.storage import Run, begin_with, load_weights
from train.world.scenes import Scene, Sound


class Recordings(context.TemporaryFolderTest):
    def write(self, name: str, samples: np.ndarray, rate: int = 16_000) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, format="WAV")
        return path

    def read(self) -> tuple[list[Recording], str]:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            return list(prepare._recorded(self.folder)), said.getvalue()

    def test_broken_files_are_reported_and_skipped(self):
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

    def test_files_with_samples_that_are_not_finite_are_skipped(self):
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
            prepare.prepare(self.folder, self.folder / "recordings.npz")
        self.assertFalse((self.folder / "recordings.npz").exists())


class Resuming(context.TemporaryFolderTest):
    MINUTES = 1e6  # the tests stop by steps, not by time

    def run_of(self, size: int = 4) -> tuple[Run, torch.nn.Linear]:
        torch.manual_seed(1)
        model = torch.nn.Linear(size, 1)
        optimizer = torch.optim.AdamW(model.parameters())
        return Run(self.folder / "state.pt", self.MINUTES, model, optimizer, 1e-2), model

    def train(self, last_step: int) -> torch.Tensor:
        run, model = self.run_of()
        with context.silent():
            for step in run.steps(warm_up=1):
                x = torch.from_numpy(np.random.default_rng(step).normal(size=(8, 4)).astype(np.float32))
                run.optimizer.zero_grad()
                (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
                run.optimizer.step()
                if step == last_step:
                    run.step += 1
                    break
        return model.weight.detach().clone()

    def test_an_interrupted_run_resumes_at_the_same_step(self):
        with context.silent():
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
        with context.silent():
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


    def test_weights_that_do_not_fit_are_an_error(self):
        self.train(2)
        with self.assertRaisesRegex(TrainingError, r"weight has the shape \[1, 4\]; expected \[1, 5\]"):
            begin_with(self.folder / "state.pt", torch.nn.Linear(5, 1))


class Options(unittest.TestCase):
    def test_a_budget_of_zero_minutes_is_one(self):
        self.assertEqual(parse(["--work", "w", "--minutes", "0"]).minutes, 0)
        self.assertIsNone(parse(["--work", "w"]).minutes)

    def test_numbers_out_of_range_are_refused(self):
        for option in ("--minutes=-1", "--minutes=nan", "--minutes=inf", "--minutes=x", "--threads=0", "--threads=x", "--batch=0"):
            said = io.StringIO()
            with self.subTest(option), contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as exited:
                parse(["--work", "w", option])
            self.assertEqual(exited.exception.code, 2)
            self.assertRegex(said.getvalue(), f"argument {option.partition('=')[0]}: .* expected a ")


class Writing(context.TemporaryFolderTest):
    def test_a_folder_that_cannot_be_written_is_an_error(self):
        (self.folder / "file").write_bytes(b"")
        with self.assertRaises((TrainingError, OSError)):
            files.write_atomically(self.folder / "file" / "state.pt", lambda file: file.write(b"x"))


class Guides(unittest.TestCase):
    BELL = guides.LABELS["church bell"]
    DOG = guides.LABELS["dog bark"]

    def test_guides_hold_the_current_previous_and_next_sound(self):
        units = [Placed("church bell", 2, 4), Placed("dog bark", 5, 6), Placed("dog bark", 7, 9)]
        targets = guides.of_units(units, 10)
        sounds = lambda column: targets[:, column].tolist()  # noqa: E731
        bell = self.BELL
        dog = self.DOG
        self.assertEqual(sounds(guides.NOW), [0, 0, bell, bell, 0, dog, 0, dog, dog, 0])
        self.assertEqual(sounds(guides.BEFORE), [0, 0, 0, 0, bell, bell, dog, dog, dog, dog])
        self.assertEqual(sounds(guides.NEXT), [bell, bell, dog, dog, dog, dog, dog, 0, 0, 0])
        self.assertEqual(sounds(guides.NEXT + 1), [1, 1, 1, 1, 1, 2, 2, 0, 0, 0])
        self.assertEqual(sounds(guides.NOW + 1), [0, 0, 1, 1, 0, 1, 0, 2, 2, 0])

    def test_heard_units_are_placed_in_seconds_and_have_no_next_sound(self):
        targets = guides.of_units([Placed("dog bark", 0.2, 0.4)], 20, rate=25, written=False)
        self.assertEqual(np.flatnonzero(targets[:, guides.NOW]).tolist(), list(range(5, 10)))
        self.assertTrue((targets[:, guides.NEXT :] == guides.IGNORE).all())

    def test_the_guides_of_a_written_scene_follow_its_units(self):
        vocabulary = Vocabulary(256, 8, 1024)
        silence = np.zeros((8, 9), np.int64)
        clips = [Clip(np.full((8, 12), 7), scene=Scene((Sound(label),))) for label in ("dog bark", "church bell")] + [Clip(silence)]
        scene = Scene((Sound("church bell", 1), Sound("dog bark", 2)))
        for abridge, length in ((False, 12), (True, ABRIDGED)):
            written = Pen(clips, vocabulary).scene(scene, abridge=abridge)
            first = written.frames[:, 0] - vocabulary.block(0) - 1
            now = written.guides[1:, guides.NOW]
            np.testing.assert_array_equal(now > 0, first == 7)
            self.assertEqual((now == self.BELL).sum(), length)
            self.assertEqual(written.guides[0, guides.NEXT], self.BELL)

    def test_an_unlearned_draft_has_no_targets_for_the_next_sound(self):
        vocabulary = Vocabulary(256, 8, 1024)
        content = vocabulary.delayed(np.zeros((8, 4), np.int64))
        asked = guides.of_units([Placed("dog bark", 1, 3)], 1 + len(content))
        builder = PromptBuilder(vocabulary, None, 4)
        for learned in (True, False):
            conversation = Conversation(builder).sound(AUDIO, content, np.ones(content.shape), asked, learned=learned)
            example = conversation.example()
            self.assertEqual(example.frames[-1, 0], EOS)
            inner = example.guides[2:-1]  # after bos and [assistant], up to the closing frame
            np.testing.assert_array_equal(inner[:, : guides.NEXT], asked[:, : guides.NEXT])
            self.assertEqual((inner[:, guides.NEXT :] == guides.IGNORE).all(), not learned)


class Guided(unittest.TestCase):
    """Targets under guidance: a second row without its prompt."""

    def setUp(self):
        torch.manual_seed(0)
        vocabulary = Vocabulary(64, 8, 16)
        config = LanguageModelConfig(
            vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, dropout=0.0
        )
        self.trainer = LanguageModelTrainer(LanguageModel(config, vocabulary, 4))
        self.content = vocabulary.delayed(np.zeros((8, 4), np.int64))
        self.conversation = Conversation(PromptBuilder(vocabulary, None, 4)).sound(AUDIO, self.content, np.ones(self.content.shape))

    def test_the_second_row_has_pad_before_the_sound(self):
        example = self.conversation.example(guided=True)
        row = example.without_prompt()
        self.assertEqual(example.prompt, 2, "bos and [assistant]")
        self.assertTrue((row.frames[:2] == 0).all() and (row.text_targets == guides.IGNORE).all())
        np.testing.assert_array_equal(row.frames[2:], example.frames[2:])
        np.testing.assert_array_equal(row.sound_targets, example.sound_targets)
        self.assertTrue(example.frames[1, 0] != 0, "the first row keeps its prompt")
        self.assertEqual(collate([self.conversation.example(), example]).prompted.tolist(), [0, 1, 1])

    def test_bfloat16_changes_the_losses_a_little(self):
        batch = collate([self.conversation.example(guided=True)])
        found = {}
        for enabled in (False, True):
            with mock.patch.object(mixed_precision, "networks", lambda: torch.autocast("cpu", torch.bfloat16, enabled=enabled)), torch.no_grad():
                random.seed(7)
                found[enabled] = torch.stack(losses(self.trainer, batch))
        self.assertFalse(torch.equal(found[False], found[True]))
        torch.testing.assert_close(found[True], found[False], rtol=0.02, atol=0.02)

    @mock.patch.object(mixed_precision, "networks", contextlib.nullcontext)
    def test_the_loss_is_that_of_the_guided_logits(self):
        batch = collate([self.conversation.example(guided=True)])
        alone = collate([self.conversation.example()])
        with torch.no_grad():
            model = self.trainer.model
            seed = 7
            random.seed(seed)
            both = losses(self.trainer, batch)[1]
            random.seed(seed)
            first = losses(self.trainer, alone)[1]
            hidden = model(model.embed(batch.frames))
            random.seed(seed)
            expected = torch.zeros(())
            for stream in (*range(6), random.randrange(6, 8)):
                conditional, unconditional = model.audio_logits(hidden, stream)
                guided = unconditional + GUIDANCE * (conditional - unconditional)
                targets = batch.sound_targets[1, :, stream]
                loss = torch.nn.functional.cross_entropy(guided, targets, ignore_index=guides.IGNORE, reduction="none")
                expected += STREAM_WEIGHTS[stream] * (loss * batch.weights[1, :, stream]).sum()
        torch.testing.assert_close(both - first, expected)

    def test_the_row_with_the_prompt_gets_no_gradient_from_the_other(self):
        """The gradient of the prompt's own token embeddings is the same without the second row."""
        gradients = []
        for guided in (False, True):
            random.seed(7)
            self.trainer.zero_grad()
            losses(self.trainer, collate([self.conversation.example(guided)]))[1].backward()
            gradients.append(self.trainer.model.model.embed_tokens.weight.grad[[BOS, ASSISTANT]].clone())
        torch.testing.assert_close(*gradients)


@contextlib.contextmanager
def disk_full_after(size: int):
    """Limits the size of files to `size` bytes, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


if __name__ == "__main__":
    unittest.main()
