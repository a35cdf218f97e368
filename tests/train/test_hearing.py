"""Training of the audio tower: augmentation that keeps a clip's label, and speakers that no training heard."""

import random
import unittest
from unittest import mock

import context
import numpy as np
import torch

from train.audio import SAMPLING_RATE, augment
from train.audio.log_mel import log_mel, of_power, power_spectrum
from train.encoder import align_adaptor, leave_one_out, speech, train_encoder
from train.encoder.audio_tower import AudioTower, AudioTowerConfig, feature_length
from train.encoder.examples import Examples
from train.encoder.speech import Span, Utterance
from train.encoder.train_encoder import Course, EncoderTrainer
from train.errors import TrainingError
from train.evaluation.intervals import percent, wilson
from train.parallel import Group
from train.sounds import kokoro, voices

torch.set_num_threads(1)


def cepstrum(power: np.ndarray) -> np.ndarray:
    return np.fft.irfft(np.log(power + 1e-10).mean(0), 400)


def peak(power: np.ndarray) -> float:
    """Returns the frequency in hertz at which the smooth spectrum is highest."""
    smooth = cepstrum(power)
    smooth[24:-23] = 0
    return float(np.fft.rfft(smooth).real.argmax()) * SAMPLING_RATE / 400


def period(power: np.ndarray) -> int:
    """Returns the number of samples from pulse to pulse."""
    return int(cepstrum(power)[50:180].argmax()) + 50


def warped(power: np.ndarray, tract: float, pitch: float) -> np.ndarray:
    return augment.warp_voice(power, np.full(power.shape[1], tract), np.full(power.shape[0], pitch))


class Variations(unittest.TestCase):
    def setUp(self):
        random.seed(0)
        np.random.seed(0)

    def test_a_voice_that_is_not_warped_stays_as_it_is(self):
        power = power_spectrum(context.tone(700) + context.tone(1400))
        np.testing.assert_allclose(warped(power, 1.0, 1.0), power + 1e-10, rtol=1e-6)

    def test_resonances_move(self):
        noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
        hertz = np.fft.rfftfreq(len(noise), 1 / SAMPLING_RATE)
        power = power_spectrum(np.fft.irfft(np.fft.rfft(noise) / (1 + ((hertz - 1200) / 300) ** 2)))
        for tract in (0.85, 1.2):
            self.assertAlmostEqual(peak(warped(power, tract, 1.0)) / peak(power), tract, delta=0.05)

    def test_pitch_moves(self):
        pulses = np.zeros(32_000, np.float32)
        pulses[::90] = 1.0
        power = power_spectrum(augment.add_noise(pulses, 40, 40))
        for pitch in (0.8, 1.25):
            self.assertAlmostEqual(period(warped(power, 1.0, pitch)) * pitch, 90, delta=4)

    def test_pitch_glides(self):
        pulses = np.zeros(32_000, np.float32)
        pulses[::90] = 1.0
        power = power_spectrum(augment.add_noise(pulses, 40, 40))
        half = len(power) // 2
        pitch = np.repeat((0.8, 1.25), (half, len(power) - half))
        glided = augment.warp_voice(power, np.ones(power.shape[1]), pitch)
        self.assertAlmostEqual(period(glided[:half]) * 0.8, 90, delta=4)
        self.assertAlmostEqual(period(glided[half:]) * 1.25, 90, delta=4)

    def test_an_equalizer_keeps_length_and_changes_the_balance(self):
        noise = np.random.default_rng(3).normal(0, 0.1, 16_000).astype(np.float32)
        balances = []
        for _ in range(20):
            found = augment.equalize(noise)
            self.assertEqual((found.shape, found.dtype), (noise.shape, np.float32))
            power = np.abs(np.fft.rfft(found)) ** 2
            balances.append(10 * np.log10(power[4000:].mean() / power[:1000].mean()))
        self.assertGreater(np.std(balances), 3)
        self.assertLess(np.mean(balances), -2)

    def test_tempo_changes_length_and_not_pitch(self):
        mel = log_mel(context.tone(1000))
        slow = augment.change_tempo(mel, 1.5)
        self.assertEqual(slow.shape, (128, round(1.5 * mel.shape[1])))
        self.assertEqual(slow.mean(1).argmax(), mel.mean(1).argmax())
        np.testing.assert_array_equal(augment.change_tempo(mel, 1.0), mel)

    def test_log_mel_equals_that_of_the_power_spectrum(self):
        samples = np.random.default_rng(1).normal(0, 0.1, 4000)
        np.testing.assert_array_equal(log_mel(samples), of_power(power_spectrum(samples)))

    def test_bands_are_limited(self):
        noise = np.random.default_rng(2).normal(0, 0.1, 16_000)
        power = np.abs(np.fft.rfft(augment.limit_band(noise, 300, 3400))) ** 2
        self.assertLess(power[5000:].sum() / power[500:3000].sum(), 1e-3)
        self.assertLess(power[:100].sum() / power[500:3000].sum(), 1e-3)

    def test_another_microphone_keeps_length_and_is_finite(self):
        for seed in range(20):
            random.seed(seed)
            found = augment.another_microphone(context.tone(440), narrow=0.6)
            self.assertEqual((found.shape, found.dtype), ((8000,), np.float32))
            self.assertTrue(np.isfinite(found).all())

    def test_eight_bits_keep_loud_samples(self):
        samples = context.tone(440)
        self.assertLess(np.abs(augment.coarsen(samples) - samples).max(), 0.02)

    def test_digit_targets_follow_the_spoken_positions(self):
        """The spoken share of a clip does not depend on how it was stretched."""
        examples = Examples(context.recordings(), EncoderTrainer(["dog bark", "rain", "desk bell", "wind"]).classes)
        for seed in range(10):
            random.seed(seed)
            mel, targets = examples.digits()
            self.assertEqual(len(targets), feature_length(mel.shape[1]))
            self.assertGreater((targets > 0).mean(), 0.15)

    def test_silence_around_digits_moves_their_positions(self):
        samples = np.ones(4000, np.float32)
        padded, [(start, end, word)] = speech.between_silences(Utterance(samples, [Span(1000, 3000, "six")]))
        self.assertEqual((end - start, word), (2000, "six"))
        before = int(start) - 1000
        np.testing.assert_array_equal(padded[before : before + 4000], samples)
        self.assertEqual(padded.sum(), 4000)

    def test_the_duration_of_a_word_does_not_depend_on_the_word(self):
        random.seed(0)
        for seconds in (0.25, 0.5):
            word = [Span(0, seconds * SAMPLING_RATE, "six")]
            durations = [seconds * speech._tempo(word) for _ in range(400)]
            self.assertAlmostEqual(np.median(durations), np.sqrt(np.prod(speech.DURATIONS)), delta=0.03)

    def test_a_digit_that_is_cut_stays_audible(self):
        word = next(r for r in context.recordings() if r.kind == "digit")
        for _ in range(20):
            samples, [(start, end, _)] = speech.say_alone(word)
            self.assertEqual((start, end), (0, len(samples)))
            self.assertGreater(len(samples), 0.1 * SAMPLING_RATE)


class Voices(unittest.TestCase):
    def test_every_accent_has_ten_digits(self):
        for language, words in voices.ACCENTS.items():
            self.assertEqual(len(words.split()), 10, language)
        self.assertLessEqual(set(voices.PICO_ACCENTS.values()), set(voices.ACCENTS))

    def test_pico_speaks_at_its_rate(self):
        slow, fast = (voices.pico("seven", "en-US", rate, 100) for rate in (70, 150))
        self.assertGreater(len(slow), 1.4 * len(fast))
        self.assertGreater(augment.level(fast), 0.02)

    def test_kokoro_knows_the_symbols_of_every_pronunciation(self):
        for pronunciations in (kokoro.NATIVE, kokoro.FOREIGN):
            self.assertEqual(len(pronunciations), 10)
        used = set("".join((*kokoro.NATIVE, *kokoro.FOREIGN, *kokoro.ENDINGS))) - {" "}
        self.assertEqual(used, set(kokoro.SYMBOLS))

    def test_kokoro_speaks_at_its_tempo(self):
        voice = np.zeros((20, kokoro.STYLE_SIZE), np.float32)
        slow, fast = (kokoro.speak("sˈɛvᵊn.", voice, tempo) for tempo in (0.6, 1.4))
        self.assertGreater(len(slow), 1.4 * len(fast))
        self.assertGreater(augment.level(fast), 0.02)


class Groups(unittest.TestCase):
    def test_clips_that_are_encoded_together_have_the_features_of_each_alone(self):
        torch.manual_seed(0)
        tower = AudioTower(AudioTowerConfig()).eval()
        draw = np.random.default_rng(4)
        mels = [draw.normal(size=(128, frames)).astype(np.float32) for frames in (200, 33, 47, 402, 60, 1, 130, 199, 201, 340)]
        with torch.no_grad():
            for mel, together in zip(mels, tower.encode(mels)):
                torch.testing.assert_close(together, tower.encode([mel])[0], atol=1e-5, rtol=1e-5)
                self.assertEqual(len(together), feature_length(mel.shape[1]))


class LeftOut(context.TemporaryFolderTest):
    def test_every_speaker_is_tested_with_weights_that_never_heard_them(self):
        heard = {}

        def train(training, validation, path, minutes, course, start):
            self.assertEqual((validation, start), ([], self.folder / "speech.pt"))
            heard[path.stem] = {r.split for r in training if r.kind == "digit"}
            return path.stem

        def validate(model, unheard):
            self.assertEqual({(r.kind, r.split) for r in unheard}, {("digit", model)})
            return {"digit": 0.5 if model == "ann" else 1.0}

        (self.folder / "speech.pt").write_bytes(b"")
        with mock.patch.object(train_encoder, "train", train), mock.patch.object(train_encoder, "validate", validate), context.silent():
            results = leave_one_out.measure(context.recordings(), self.folder / "speech.pt", self.folder / "speakers", 1.0)
        self.assertEqual(heard, {"ann": {"bob"}, "bob": {"ann"}})
        self.assertEqual(results, {"ann": [1, 2], "bob": [2, 2]})
        self.assertTrue((self.folder / "speakers" / "results.json").exists())

    def test_the_initial_weights_heard_no_speaker(self):
        self.assertNotIn("digit", {r.kind for r in leave_one_out.without_speakers(context.recordings())})

    def test_missing_initial_weights_are_an_error(self):
        with self.assertRaisesRegex(TrainingError, "run the stage `speech` first"):
            leave_one_out.measure(context.recordings(), self.folder / "speech.pt", self.folder, 1.0)

    def test_a_step_works_with_digits_alone_and_with_everything(self):
        torch.manual_seed(0)
        random.seed(0)
        model = EncoderTrainer(["dog bark", "rain", "desk bell", "wind"])
        examples = Examples(context.recordings(), model.classes)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        with mock.patch.object(examples, "scene", lambda: (np.zeros((128, 40), np.float32), np.zeros((2, 10, 4), np.float32))):
            for course in (Course(0, 0, 3, 1e-3), Course(2, 1, 1, 1e-3)):
                before = model.tower.proj.weight.detach().clone()
                losses = train_encoder._step(model, examples, optimizer, course, Group())
                self.assertTrue(all(torch.isfinite(loss) for loss in losses))
                self.assertFalse(torch.equal(before, model.tower.proj.weight))


class Aligned(context.TemporaryFolderTest):
    def test_the_adaptor_compensates_a_linear_change_of_the_features(self):
        torch.manual_seed(0)
        old = AudioTower(AudioTowerConfig(dropout=0.0)).eval()
        new = AudioTower(AudioTowerConfig(dropout=0.0)).eval()
        new.load_state_dict(old.state_dict())
        turn = torch.linalg.qr(torch.randn(192, 192))[0]
        with torch.no_grad():
            new.proj.weight.copy_(turn @ old.proj.weight)
            new.proj.bias.copy_(turn @ old.proj.bias + 1)
        names = [align_adaptor.ADAPTOR + part for part in ("weight", "bias")]
        torch.save({"model": dict(zip(names, (torch.randn(8, 192), torch.randn(8))))}, self.folder / "llm.pt")
        clips = [r for r in context.recordings() if r.kind == "sound"]
        with context.silent():
            align_adaptor.write_aligned(self.folder / "llm.pt", old, new, clips, self.folder / "aligned.pt")
        states = [torch.load(self.folder / f"{name}.pt")["model"] for name in ("llm", "aligned")]
        heard = [
            features @ state[names[0]].T + state[names[1]]
            for features, state in zip((align_adaptor.features(old, clips), align_adaptor.features(new, clips)), states)
        ]
        self.assertLess(float((heard[0] - heard[1]).abs().mean() / heard[0].std()), 0.05)


class Intervals(unittest.TestCase):
    def test_wilsons_interval(self):
        low, high = wilson(81, 100)
        self.assertAlmostEqual(low, 0.7222, places=3)
        self.assertAlmostEqual(high, 0.8749, places=3)
        self.assertEqual(wilson(0, 0), (0.0, 1.0))
        self.assertAlmostEqual(wilson(10, 10)[1], 1.0)
        self.assertEqual(percent(230, 250), "92 % (88–95, 230 of 250)")


if __name__ == "__main__":
    unittest.main()
