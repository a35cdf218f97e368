"""The sounds that the language model learns to write, the critiques, and the questions about presence."""

import random
import unittest
from contextlib import contextmanager
from unittest import mock

import context
import numpy as np

from train.audio import SAMPLING_RATE
from train.data import units
from train.data.recordings import Recording
from train.evaluation.measures.hearing import named
from train.evaluation.measures.variety import different
from train.evaluation.table import Row, Tally
from train.language_model import pen, written
from train.language_model.clips import Clip
from train.language_model.conversation import Conversation
from train.language_model.dialogue import Dialogues
from train.language_model.pen import Pen
from train.language_model.vocabulary import ASSISTANT, AUDIO, EOS, TEXT, USER, Vocabulary
from train.world import scenes, small_world
from train.world.scenes import Scene, Sound

VOCABULARY = Vocabulary(256, 8, 1024)
FRAMES = 12


def clips() -> list[Clip]:
    """Returns two dogs, the first with two barks; a bell; a short and a long stretch of wind; silence."""
    unit = lambda code, label, source, n=FRAMES, alone=False: Clip(  # noqa: E731
        np.full((8, n), code), scene=Scene((Sound(label),)), source=source, alone=alone
    )
    barks = [unit(1, "dog bark", "rex"), unit(2, "dog bark", "rex"), unit(3, "dog bark", "bella")]
    wind = [unit(5, "wind", "storm", 90), unit(6, "wind", "storm", 150, alone=True)]
    return [*barks, unit(4, "church bell", "tower", 60), *wind, Clip(np.zeros((8, 9), np.int64))]


class Plain(unittest.TestCase):
    def setUp(self):
        random.seed(0)
        self.pen = Pen(clips(), VOCABULARY)

    def codes(self, written) -> np.ndarray:
        return written.frames[:, 0] - VOCABULARY.block(0) - 1

    def test_an_event_repeats_from_one_source_until_it_lasts_long_enough(self):
        lengths = set()
        for _ in range(40):
            codes = self.codes(self.pen.plain("dog bark"))
            frames = len(codes) - 7  # of the delay
            self.assertGreaterEqual(frames, 1.9 * pen.FRAMES_PER_SECOND * 0.6)
            self.assertLess(frames, 5.5 * pen.FRAMES_PER_SECOND)
            self.assertIn(set(codes[codes > 0]), ({1}, {2}, {1, 2}, {3}))
            self.assertGreater((codes > 0).sum(), FRAMES, "more than once")
            lengths.add(frames)
        self.assertGreater(len(lengths), 10)

    def test_a_continuing_sound_is_long_alone_and_short_in_scenes(self):
        lengths = {int((self.codes(self.pen.plain("wind")) == 6).sum()) for _ in range(40)}
        self.assertTrue(min(lengths) >= pen.LEAST_PLAIN and max(lengths) <= 150 and len(lengths) > 10, lengths)
        self.assertEqual((self.codes(self.pen.scene(Scene((Sound("wind"),)))) == 6).sum(), 150)
        both = self.codes(self.pen.scene(Scene((Sound("wind"), Sound("church bell", 1)))))
        self.assertEqual(((both == 5).sum(), (both == 6).sum()), (90, 0))

    def test_a_request_for_one_event_says_once(self):
        for seed in range(200):
            random.seed(seed)
            asked = scenes.request(Scene((Sound("dog bark", 1),)))
            self.assertRegex(asked, "(once|one time)$")

    def test_a_plain_request_has_no_number(self):
        for seed in range(50):
            random.seed(seed)
            self.assertNotRegex(scenes.plain_request("dog bark"), "once|twice|times")


class Spoken(context.TemporaryFolderTest):
    def test_voices_of_have_takes_of_all_words(self):
        word = lambda voice, text: Clip(np.ones((8, 9), np.int64), words=text, voice=voice)  # noqa: E731
        said = Pen([*clips(), word("slt", "one"), word("slt", "two"), word("rms", "one")], VOCABULARY)
        self.assertEqual(said.voices_of(["one"]), ["slt", "rms"])
        self.assertEqual(said.voices_of(["one", "two"]), ["slt"])
        self.assertEqual(said.voices_of(["three"]), [])

    def test_unread_takes_are_dropped_if_another_voice_is_read(self):
        said = (("one", "slt", 1), ("one", "kal", -1), ("two", "kal", -1))
        takes = [Recording(f"{w} {v}", "clear", w, v, np.full(640, x, np.float32)) for w, v, x in said]
        with selector(words=lambda x: ["one"] if x.max() > 0 else []) as chooser:
            kept = [(c.words, c.voice) for c in chooser.words(takes)]
        self.assertEqual(kept, [("one", "slt"), ("two", "kal")])

    def test_a_digit_is_read_wherever_it_begins(self):
        with selector(words=lambda x: ["one"] if len(x) < 8 else ["two", "one"]) as chooser:
            self.assertTrue(chooser._is_read("one", np.full((1, 2), 80)))
            self.assertFalse(chooser._is_read("one", np.full((1, 3), 80)))


def coded(_, samples: np.ndarray) -> np.ndarray:
    """Stands in for the codec: a code is the sum of a frame, in hundredths of the loudest."""
    frames = units.whole(samples).reshape(-1, units.HOP)
    return np.round(100 * frames.sum(1) / units.HOP).astype(np.int16)[None]


@contextmanager
def selector(rank=lambda x, label: 95 - int(x.max()), words=lambda x: []):
    """A selector with `coded` as the codec, of which codes are the sound, and judges: the first ranks louder sounds higher."""
    replaced = {
        "encode": coded, "decode": lambda _, codes: codes[0],
        "SoundJudge": lambda: mock.Mock(rank=rank), "DigitJudge": lambda: mock.Mock(read=words),
    }  # fmt: skip
    with mock.patch.multiple(written, **replaced), context.silent():
        yield written.Selector(None)


class Chosen(unittest.TestCase):
    SOUND = np.full(3 * units.HOP, 0.8, np.float32)

    def units_of(self, count: int, sources: int) -> list[units.Unit]:
        return [units.Unit("wind", np.full(640, 0.95 - 0.008 * i, np.float32), f"source {i % sources}") for i in range(count)]

    def test_few_units_of_one_recording_are_kept_the_best_first(self):
        with selector() as chooser:
            best = chooser.best(self.units_of(30, sources=3))
        self.assertEqual(len(best), 3 * written.FROM_ONE_SOURCE[False])
        self.assertEqual(best[0][0].samples[0], np.float32(0.95))

    def test_units_that_are_not_named_are_kept_only_up_to_the_minimum(self):
        with selector(rank=lambda x, label: written.NAMED) as chooser:
            self.assertEqual(len(chooser.best(self.units_of(5, sources=5))), written.LEAST_KEPT)

    def test_an_event_is_judged_with_short_and_with_long_gaps(self):
        judged = []
        with selector(rank=lambda x, label: judged.append(x.tolist()) or len(x)) as chooser:
            rank = chooser._rank(np.array([[80, 60]]), "dog bark")
        self.assertEqual([x.count(80) for x in judged], [written.REPEATED, written.REPEATED])
        self.assertEqual([len(x) for x in judged], [pen.LEAD + written.REPEATED * (2 + gap) for gap in pen.PLAIN_GAPS])
        self.assertEqual(rank, max(map(len, judged)), "the worst rank counts")

    def test_units_of_a_kind_begin_with_different_codes(self):
        firsts = set()
        with selector() as chooser:
            chosen = [chooser._distinct(self.SOUND, firsts) for _ in range(written.SHIFTS + 1)]
        begins = [int(codes[0, 0]) for codes in chosen[:-1]]
        self.assertEqual((len(set(begins)), begins[0]), (written.SHIFTS, 80))
        self.assertTrue(all(codes[0, 1] == 80 for codes in chosen[:-1]))
        self.assertIsNone(chosen[-1], "all beginnings are taken")

    def test_a_refused_beginning_is_tried_later(self):
        firsts = set()
        with selector() as chooser:
            codes = chooser._distinct(self.SOUND, firsts, lambda codes: codes[0, 0] < 50)
            self.assertIsNone(chooser._distinct(self.SOUND, set(), lambda codes: False))
        self.assertLess(int(codes[0, 0]), 50)
        self.assertEqual(firsts, {int(codes[0, 0])})

    def test_silence_before_a_unit_is_not_part_of_it(self):
        with selector() as chooser:
            codes = chooser._distinct(np.pad(np.full(units.HOP, 0.8, np.float32), (5 * units.HOP, 0)), set())
        self.assertEqual(codes.tolist(), [[80]])

    def test_stretches_have_the_requested_length(self):
        recording = Recording("r", "sound", "wind", "1", np.random.default_rng(0).normal(0, 0.1, 5 * SAMPLING_RATE).astype(np.float32))
        found = units.extract([recording], {"wind": False}, (2.2, 4.6), 3)["wind"]
        self.assertEqual(len(found), 3)
        for unit in found:
            self.assertTrue(2.2 <= len(unit.samples) / SAMPLING_RATE <= 4.7)
            self.assertEqual(unit.source, "r")


class Critiques(unittest.TestCase):
    def test_named_faults_reads_the_faults_of_a_critique(self):
        for seed in range(300):
            random.seed(seed)
            wanted = scenes.draw()
            made = scenes.flawed(wanted) if seed % 3 else wanted
            said = scenes.critique(wanted, made)
            self.assertEqual(scenes.named_faults(said), scenes.faults(wanted, made), said)
            self.assertEqual(scenes.faults(wanted, wanted), [])
            self.assertIsNotNone(scenes.VERDICT.search(said))

    def test_every_flawed_scene_has_faults(self):
        for seed in range(300):
            random.seed(seed)
            wanted = scenes.draw()
            self.assertTrue(scenes.faults(wanted, scenes.flawed(wanted)))

    def test_a_critique_without_a_verdict_is_none(self):
        self.assertIsNone(scenes.named_faults("I hear rain."))

    def test_a_checked_draft_ends_with_the_critique(self):
        dialogues = self._dialogues([])
        for seed in range(20):
            random.seed(seed)
            checked = dialogues._check()
            self.assertTrue((checked.sound_targets[-4:] == -100).all(), "text comes last")
            self.assertEqual(checked.prompt, 0)

    def test_a_draft_that_is_heard_belongs_to_the_turn_before(self):
        heard = Clip(np.ones((6, 4), np.float16), scene=Scene((Sound("dog bark"), Sound("rain"))))
        dialogues = self._dialogues([heard])
        for seed in range(20):
            random.seed(seed)
            example = dialogues._hear()
            first = np.flatnonzero(example.slots)[0]
            self.assertEqual(example.frames[first - 3 : first, 0].tolist(), [EOS, USER, AUDIO])
            self.assertEqual(int(example.slots.sum()), 6)
            self.assertEqual(example.frames[first + 6 : first + 9, 0].tolist(), [EOS, ASSISTANT, TEXT])
            self.assertTrue((example.sound_targets[-6:-2, 0] != -100).all(), "the final sound comes last")

    @staticmethod
    def _dialogues(heard):
        class Builder:
            vocabulary = VOCABULARY
            feature_size = 4

            def text(self, text):
                return VOCABULARY.text([len(text) % 200])

            def conversation(self, *parts):
                return Conversation(self).user(*parts)

        everything = [c for label in small_world.CONCEPTS for c in (Clip(np.ones((8, 10), np.int64), scene=Scene((Sound(label),)), source="a"),)]
        return Dialogues(Builder(), [*everything, clips()[-1]], heard)


class Presence(unittest.TestCase):
    def test_absent_sounds_in_questions_are_often_similar(self):
        alike = 0
        there = 0
        for seed in range(400):
            random.seed(seed)
            asked, answer = scenes.presence(["rain"], "rain")
            if answer.endswith("yes."):
                there += 1
            else:
                alike += any(name in asked for label in small_world.ALIKE["rain"] for name in small_world.CONCEPTS[label].presence)
        self.assertTrue(150 < there < 250)
        self.assertGreater(alike, 60)

    def test_groups_contain_known_kinds(self):
        for group in small_world.ALIKE_GROUPS:
            self.assertEqual([label for label in group if label not in small_world.CONCEPTS], [])


class Measured(unittest.TestCase):
    def test_different_counts_distinct_sounds(self):
        random = np.random.default_rng(0)
        bark = lambda hertz, n=12_000: context.tone(hertz, n / SAMPLING_RATE)  # noqa: E731
        again = bark(500) + random.normal(0, 1e-4, 12_000).astype(np.float32)
        self.assertEqual(different([bark(500), again]), 1)
        self.assertEqual(different([bark(500), bark(2000), bark(500, 20_000)]), 3)
        self.assertEqual(different([np.zeros(0, np.float32), bark(500)]), 1)

    def test_rows_show_shares_with_their_intervals(self):
        tally = Tally()
        for i in range(4):
            tally.add("a", i < 3)
        self.assertEqual(str(Row.of("x", tally).result), "75 % (30–95, 3 of 4)")
        self.assertEqual(Row.of("x", tally).note, "a 3/4")

    def test_named_finds_the_kind_in_an_answer(self):
        self.assertEqual(named("This is the sound of rain."), "rain")
        self.assertEqual(named(""), "nothing")


if __name__ == "__main__":
    unittest.main()
