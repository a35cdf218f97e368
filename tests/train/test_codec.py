"""The jointly trained codec, and the packed file of its training data."""

import unittest
from dataclasses import replace
from unittest import mock

import context
import numpy as np
import torch

from train import mixed_precision
from train.codec import pack_recordings, train_jointly
from train.codec.crops import Crops
from train.codec.spectral_codec import SpectralCodec
from train.codec.spectral_distance import SpectralDistance
from train.codec.train_jointly import JointTrainer
from train.data import recordings
from train.data.recordings import HELD_OUT, Recording
from train.errors import TrainingError
from train.storage import load_weights

torch.set_num_threads(1)
SHARES = {"sound": 0.5, "made": 0.5}
CONFIG = replace(
    train_jointly.CONFIG, num_codebooks=3, codebook_size=16, codebook_dim=8, encoder_layers=1, encoder_hidden_size=8, decoder_hidden_size=16,
    decoder_layers=1, fine_hidden_size=8, fine_layers=1,
)  # fmt: skip
CPU = torch.device("cpu")


def trainer() -> JointTrainer:
    torch.manual_seed(0)
    result = JointTrainer(CONFIG, channels=4)
    with torch.no_grad():
        result.codec.quantizer.codebooks.normal_()
        result.keep_zero_entries()
    return result


class CropsOfRecordings(unittest.TestCase):
    def test_crops_come_from_the_recordings(self):
        torch.manual_seed(0)
        crops = Crops([r for r in context.recordings() if r.kind in SHARES], SHARES, 16_000, CPU)
        drawn = crops.draw(64)
        self.assertEqual(drawn.shape, (64, 16_000))
        self.assertLessEqual(float(drawn.abs().max()), 1.0)
        self.assertTrue((drawn.abs().amax(1) > 1e-3).all())
        self.assertTrue(((drawn == 0).sum(1) >= 1900).all(), "silence surrounds what is shorter")

    def test_crops_of_a_long_recording_start_at_a_random_position(self):
        ramp = Recording("ramp", "sound", "rain", "1", np.linspace(0, 1, 48_000, dtype=np.float32))
        torch.manual_seed(1)
        drawn = Crops([ramp], {"sound": 1.0}, 100, CPU).draw(32)
        slopes = torch.diff(drawn, dim=1)
        self.assertTrue(((slopes >= -1e-4) | (drawn[:, 1:] == 1)).all())
        self.assertGreater(float(drawn.mean(1).std()), 0.05)


class Joint(context.TemporaryFolderTest):
    def start(self):
        torch.manual_seed(0)
        codec = SpectralCodec(replace(CONFIG, encoder_layers=0))
        codec.quantizer.codebooks.normal_()
        codec.quantizer.codebooks[1:, 0] = 0
        torch.save({"model": codec.state_dict()}, self.folder / "codec.pt")
        return codec

    def test_the_initial_output_equals_the_codecs(self):
        codec = self.start()
        other = trainer()
        with context.silent():
            train_jointly.begin_with(self.folder / "codec.pt", other.codec)
        samples = 0.1 * torch.randn(2, 6400)
        self.assertTrue(torch.equal(codec.encode(samples), other.codec.encode(samples)))

    def test_a_step_changes_both_sides_and_keeps_the_zero_entries(self):
        for adversarial in (False, True):
            subject = trainer()
            optimizer = torch.optim.AdamW(subject.parameters(), lr=1e-3)
            before = {name: value.detach().clone() for name, value in subject.named_parameters()}
            distance = SpectralDistance(16_000)
            train_jointly.step(subject, optimizer, 0.1 * torch.randn(3, 6400), distance, adversarial)
            changed = {name for name, value in subject.named_parameters() if not torch.equal(value, before[name])}
            for part in ("encoder.leave", "quantizer.codebooks", "decoder.conv_in"):
                self.assertTrue(any(part in name for name in changed), part)
            self.assertEqual(any(name.startswith("adversary") for name in changed), adversarial)
            self.assertEqual(float(subject.codec.quantizer.codebooks[1:, 0].detach().abs().max()), 0.0)

    def test_a_step_in_bfloat16(self):
        """On a GPU, networks compute in bfloat16: their output stays near that in float32."""
        results = []
        for enabled in (False, True):
            subject = trainer()
            with mock.patch.object(mixed_precision, "networks", lambda device: torch.autocast(device.type, torch.bfloat16, enabled=enabled)):
                found, _ = train_jointly.losses(subject, 0.1 * torch.randn(3, 6400), SpectralDistance(16_000), True)
                (found.of_codec + found.adversary).backward()
            gradients = [value.grad for value in subject.parameters() if value.grad is not None]
            self.assertTrue(all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients))
            results.append(float(found.adversary.detach()))
        self.assertAlmostEqual(*results, delta=0.05)

    def test_quantized_latents_equal_the_decoded_codes(self):
        subject = trainer()
        latents = torch.randn(2, 5, 8, requires_grad=True)
        coded, _ = subject.quantize(latents, torch.tensor([3, 1]))
        codes = subject.codec.quantizer.encode(latents)
        codes[1, 1:] = 0
        torch.testing.assert_close(coded, subject.codec.quantizer.decode(codes))
        coded.sum().backward()
        torch.testing.assert_close(latents.grad, torch.ones_like(latents))

    def test_unused_entries_are_replaced_and_entry_zero_stays(self):
        subject = trainer()
        subject.quantize(torch.zeros(1, 4, 8), torch.tensor([3]))
        self.assertGreater(subject.revive(torch.randn(1, 200, 8)), 0)
        self.assertEqual(float(subject.codec.quantizer.codebooks[1:, 0].detach().abs().max()), 0.0)
        self.assertEqual(float(subject.chosen.sum()), 0.0)

    def test_a_run_stores_its_state_and_the_codec_and_resumes(self):
        self.start()
        path = self.folder / "joint.pt"
        known = context.recordings()
        for minutes in (0.02, 0.04):  # seconds of computing: a few steps each
            with context.silent():
                train_jointly.train(known, self.folder / "codec.pt", path, minutes, CPU, batch=2, trainer=trainer())
        state = torch.load(path)
        self.assertGreater(state["step"], 1)
        codec = load_weights(self.folder / train_jointly.CODEC_FILE, SpectralCodec(CONFIG))
        self.assertTrue(torch.equal(codec.quantizer.codebooks, state["model"]["codec.quantizer.codebooks"]))


class Packed(context.TemporaryFolderTest):
    def test_a_packed_file_loads_like_the_recordings(self):
        known = context.recordings()
        known.append(Recording("unheard", "made", "wind", HELD_OUT, known[0].samples))
        recordings.store(known, self.folder / "recordings.npz")
        with context.silent():
            pack_recordings.pack(self.folder / "recordings.npz", self.folder / "packed.npz", 60)
        packed = {r.name: r for r in recordings.load(self.folder / "packed.npz")}
        self.assertEqual(set(packed), {r.name for r in known} - {"unheard"})
        original = known[0].samples
        found = packed[known[0].name].samples
        self.assertEqual(len(found), len(original))
        self.assertLess(np.square(found - original).sum() / np.square(original).sum(), 0.02)

    def test_the_size_limit_holds_and_every_kind_is_present(self):
        recordings.store(context.recordings(), self.folder / "recordings.npz")
        with context.silent():
            pack_recordings.pack(self.folder / "recordings.npz", self.folder / "packed.npz", 0.06)
        self.assertLess((self.folder / "packed.npz").stat().st_size, 60_000)
        self.assertTrue({"sound", "made"} <= {r.kind for r in recordings.load(self.folder / "packed.npz")})

    def test_too_small_a_limit_is_an_error(self):
        recordings.store(context.recordings(), self.folder / "recordings.npz")
        with self.assertRaisesRegex(TrainingError, "no recording of .* fits"):
            pack_recordings.pack(self.folder / "recordings.npz", self.folder / "packed.npz", 0.0001)


if __name__ == "__main__":
    unittest.main()
