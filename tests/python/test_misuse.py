"""Misuse raises exceptions that name the fault: the process survives, and nothing is truncated silently."""
import copy
import os
import pickle
import unittest

import here
import numpy as np
import ualm
from ualm import _errors

model = ualm.Model(here.DEFAULT)
sound = ualm.Audio(np.zeros(16000, np.float32), 16000)


class Closed(unittest.TestCase):
    def test_every_call_of_a_closed_object_says_so(self):
        closed = ualm.Model(here.TINY)
        with closed.session() as session, closed.engine(slots=1) as engine, ualm.Cancel() as cancel:
            checkpoint = session.checkpoint("rain")
            mark = session.mark()
            record = session.record()
            chain = model.chain("rain")
            generation = session.stream("rain")
        for each in (generation, checkpoint, mark, record, chain, closed):
            each.close()
            each.close()
            self.assertTrue(each.closed)
        calls = [
            session.record, session.mark, lambda: session.generate("rain"), lambda: session.position, lambda: next(generation),
            lambda: model.session().rewind(mark), lambda: model.session().generate(checkpoint), lambda: checkpoint.position,
            lambda: engine.stats, engine.session, lambda: cancel.cancel(), lambda: cancel.cancelled, record.to_json,
            lambda: model.session().restore(record, 0, 0), lambda: next(chain), lambda: chain.stages, closed.session,
            lambda: closed.manifest, lambda: closed.generate("rain"), lambda: model.caption(sound, cancel=cancel),
            lambda: model.takes("rain", 1, engine=engine), lambda: closed.encode(sound), lambda: closed.limits,
        ]  # fmt: skip
        for number, call in enumerate(calls):
            with self.subTest(number), self.assertRaisesRegex(ualm.InvalidError, "is closed"):
                call()
        generation.stop()
        chain.stop()

    def test_an_object_outlives_its_origin(self):
        with ualm.Model(here.TINY) as other:
            session = other.session()
            options = other.options("audio")
        self.assertGreater(len(session.generate("rain").segments), 0)
        self.assertEqual(len(session.generate("rain", options).segments), 1)

    def test_objects_are_not_copied(self):
        for each in (model, model.session()):
            for way in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, "cannot be copied or pickled"):
                    way(each)


class Arrays(unittest.TestCase):
    def test_invalid_samples_are_refused(self):
        for samples, error, words in (
            (np.zeros(9, np.int16), TypeError, "32768"), (np.zeros(9, complex), TypeError, "complex"),
            (np.array(["a"]), TypeError, "expected floats"), (np.array([None]), TypeError, "object"),
            (np.zeros((2, 16000)), ValueError, "samples.T"), (np.zeros((2, 2, 2)), ValueError, "expected \\[frames"),
            (np.float32(1), ValueError, "expected \\[frames"),
        ):  # fmt: skip
            with self.subTest(words), self.assertRaisesRegex(error, words):
                ualm.Audio(samples, 16000)

    def test_invalid_rates_are_refused(self):
        for rate in (0, -1, 1 << 32, 16000.5, "16000", None):
            with self.subTest(rate), self.assertRaises((TypeError, ValueError)):
                ualm.Audio(np.zeros(9, np.float32), rate)

    def test_nan_and_infinity_are_refused_by_every_call(self):
        for value in (np.nan, np.inf, 1e300):
            bad = ualm.Audio(np.array([0.0] * 16000 + [value]), 16000)
            for call in (model.ask, model.encode, model.audio_features, model.transcribe, lambda bad: model.session().generate(bad)):
                with self.subTest(value), self.assertRaises((ualm.AudioError, ualm.InvalidError)):
                    call(bad)

    def test_sound_without_samples_is_refused(self):
        for call in (model.ask, model.encode):
            with self.assertRaises(ualm.Error):
                call(ualm.Audio(np.zeros(0, np.float32), 16000))

    def test_invalid_codes_are_refused(self):
        for codes, error in (
            (np.zeros((8, 4)), TypeError), (np.zeros(8, int), ValueError), (np.full((8, 4), -1), ValueError),
            (np.full((8, 4), 1 << 33), ValueError), (np.full((8, 4), 1024), ualm.InvalidError), (np.zeros((7, 4), int), ualm.InvalidError),
            (np.zeros((8, 0), int), ualm.Error), (np.zeros((0, 8), int), ualm.Error), (np.full((8, 4), (1 << 32) - 1), ualm.InvalidError),
            ([], (TypeError, ValueError)),
        ):  # fmt: skip
            with self.subTest(str(codes)[:40]), self.assertRaises(error):
                model.decode(codes)


class Arguments(unittest.TestCase):
    def test_texts_with_nul_are_refused_and_not_cut(self):
        for call in (
            lambda words: model.generate(words), lambda words: model.ask(sound, words), lambda words: model.text_ids(words),
            lambda words: ualm.Model(words), lambda words: ualm.Audio.read(words), lambda words: model.chain(words),
            lambda words: model.takes("rain", 1, wanted=words), lambda words: ualm.Record.from_json(words), lambda words: sound.write(words),
            lambda words: ualm.Model.from_files({words: b""}),
        ):  # fmt: skip
            with self.assertRaisesRegex(ValueError, "NUL"):
                call("a dog\0barking")
        with self.assertRaises(UnicodeEncodeError):
            model.generate("\ud800")

    def test_numbers_that_do_not_fit_are_refused(self):
        for name, value in (("seed", -1), ("seed", 1 << 64), ("max_segments", -1), ("max_segments", 1 << 64), ("seed", 1.5), ("seed", "1")):
            options = model.options("audio")
            setattr(options, name, value)
            with self.subTest(name), self.assertRaises((TypeError, ValueError)):
                model.session().generate("rain", options)
        for name, value in (("top_k", 1 << 32), ("max_steps", -1), ("temperature", "hot"), ("top_p", float("nan")), ("guidance", float("inf"))):
            options = model.options("audio")
            setattr(options.audio, name, value)
            with self.subTest(name), self.assertRaises((TypeError, ValueError)):
                model.session().generate("rain", options)
        for call in (
            lambda: model.takes("rain", -1), lambda: model.takes("rain", 0), lambda: model.takes("rain", 1 << 70), lambda: model.engine(slots=-1),
            lambda: model.engine(slots=1 << 40), lambda: model.resume_chain(model.session().record(), 1 << 70), lambda: ualm.report(threads=-1),
            lambda: model.chain("rain", ualm.ChainOptions(rounds=99)), lambda: ualm.Audio.read(b"", max_seconds=float("nan")),
        ):  # fmt: skip
            with self.assertRaises((TypeError, ValueError, ualm.Error)):
                call()

    def test_unknown_names_are_refused_with_the_known_ones(self):
        for call, known in (
            (lambda: model.options("video"), "thinking"), (lambda: ualm.Message("a", role="judge"), None), (lambda: sound.write("x.wav", "mp3"), "pcm16"),
            (lambda: model.session().generate(ualm.Message("a", role="judge")), "assistant"), (lambda: model.caption(sound, "video"), "speech"),
            (lambda: model.chain("rain", ualm.ChainOptions(mode="hope")), "reflect"), (lambda: ualm.Model(here.TINY, thread=1), "threads"),
        ):  # fmt: skip
            if known is None:
                call()
                continue
            with self.assertRaisesRegex((TypeError, ValueError), known):
                call()
        options = model.options()
        options.force = "audio"
        with self.assertRaisesRegex(TypeError, "sequence"):
            model.session().generate("rain", options)

    def test_arguments_of_other_types_are_refused(self):
        for call in (
            lambda: model.generate(7), lambda: model.generate([7]), lambda: model.ask("dog.wav"), lambda: model.encode(sound.samples),
            lambda: model.generate(b"rain"), lambda: ualm.Model(7), lambda: model.session().generate("rain", {"seed": 1}), lambda: model.chain(7),
            lambda: model.session().rewind(None), lambda: model.rank([None], "rain"), lambda: ualm.Record.from_json(7),
            lambda: ualm.report(provider_libraries="plugin.so"),
        ):  # fmt: skip
            with self.assertRaisesRegex(TypeError, "expected"):
                call()

    def test_objects_of_another_conversation_are_refused(self):
        one = model.session()
        other = model.session()
        checkpoint = one.checkpoint("rain")
        mark = one.mark()
        with self.assertRaises(ualm.InvalidError):
            other.generate(checkpoint)
        with self.assertRaises(ualm.InvalidError):
            other.rewind(mark)
        with self.assertRaises(ualm.InvalidError):
            other.go_on()
        with self.assertRaises(ualm.InvalidError):
            ualm.Record.from_json("{}")

    def test_an_open_generation_keeps_its_session_busy(self):
        session = model.session()
        with session.stream("rain") as generation:
            next(generation)
            with self.assertRaises(ualm.BusyError):
                session.generate("rain")
        self.assertGreater(len(session.generate("rain", model.options("audio")).segments), 0)


class Errors(unittest.TestCase):
    def test_an_error_has_a_message_and_a_code(self):
        with self.assertRaisesRegex(ualm.PackageError, "no/such/package") as caught:
            ualm.Model("no/such/package")
        self.assertEqual((caught.exception.status, caught.exception.code), ("package", 5))
        self.assertIsInstance(caught.exception, ualm.Error)
        with self.assertRaisesRegex(ualm.ProviderError, "cuda"):
            ualm.Model(here.TINY, provider="cuda")
        self.assertEqual(str(_errors.error_of(99, "new")), "status 99: new")

    def test_another_c_library_is_refused(self):
        program = "import ualm\ntry: ualm.version()\nexcept ualm.LibraryError as error: print(error)"
        for library, words in (("no/such/file.so", "no/such/file.so"), (here.__file__, "cannot be loaded")):
            printed = here.printed(program, env=os.environ | {"UALM_C_LIBRARY": str(library)})
            self.assertIn(words, printed)
            self.assertIn("again", printed)

    def test_another_onnx_runtime_is_refused(self):
        with self.assertRaises(ualm.Error):
            ualm.Model(here.TINY, library=here.__file__)


if __name__ == "__main__":
    unittest.main()
