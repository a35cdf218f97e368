"""The Python interface with the default package and the tests' small packages."""
import json
import pathlib
import tempfile
import unittest
import wave

import here
import numpy as np
import ualm

model = ualm.Model(here.DEFAULT)
dog = model.generate("a dog barking", seed=1)


def setUpModule():
    if not here.TINY.is_dir():
        raise unittest.SkipTest("the fixtures are missing: make fixtures")


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="ualm é ")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)


class Requests(Folder):
    def test_words_become_a_sound_that_is_named(self):
        self.assertEqual((dog.samples.dtype, dog.samples.ndim, dog.rate), (np.float32, 1, 16000))
        self.assertGreater(dog.seconds, 0.2)
        self.assertIn("dog", model.ask(dog, "What sound is this?"))
        self.assertIn("dog", model.ask(dog))
        self.assertIn("dog", model.caption(dog))

    def test_words_become_speech_that_is_transcribed(self):
        speech = model.speak("five")
        self.assertEqual(model.transcribe(speech), "five")

    def test_a_spoken_question_gets_a_spoken_answer(self):
        said = model.converse(model.speak("five"), seed=1)
        self.assertEqual(said.question, "five")
        self.assertGreater(len(said.answer), 0)
        self.assertGreater(said.audio.seconds, 0.05)
        self.assertEqual(said.audio.record.turns, 3)
        with ualm.Cancel() as cancel:
            cancel.cancel()
            with self.assertRaises(ualm.Cancelled):
                model.converse(dog, cancel=cancel)

    def test_the_options_given_are_those_used(self):
        options = model.options(seed=1)
        options.audio.max_steps = 12
        self.assertLess(model.generate("a dog barking", options=options).seconds, dog.seconds)

    def test_the_same_seed_gives_the_same_sound_for_every_form_of_request(self):
        reply = model.session().generate("a dog barking", model.options("audio", seed=1))
        np.testing.assert_array_equal(reply.audio.samples, dog.samples)
        with model.engine(slots=2) as engine, engine.session() as session:
            reply = session.generate("a dog barking", model.options("audio", seed=1))
            self.assertGreater(engine.stats.steps, 10)
            self.assertGreaterEqual(engine.context, session.position)
        np.testing.assert_array_equal(reply.audio.samples, dog.samples)

    def test_takes_have_their_own_seeds_and_are_ranked(self):
        events = []
        takes = model.takes("a dog barking", 2, model.options("audio", seed=0), wanted="a dog barking", on_event=events.append)
        np.testing.assert_array_equal(takes.takes[1].audio.samples, dog.samples)
        self.assertFalse(np.array_equal(takes.takes[0].audio.samples, dog.samples))
        self.assertEqual({ranked.take for ranked in takes.ranking}, {0, 1})
        self.assertIs(takes.best, takes.takes[takes.ranking[0].take])
        self.assertEqual({event.take for event in events if isinstance(event, ualm.SegmentEnded)}, {0, 1})
        self.assertEqual(sum(isinstance(event, ualm.TakeRanked) for event in events), 2)
        self.assertIsInstance(events[-1], ualm.Finished)
        self.assertEqual(model.rank([take.audio for take in takes.takes], "a dog barking"), takes.ranking)

    def test_takes_run_in_an_engine(self):
        with model.engine(slots=4) as engine:
            takes = model.takes("a dog barking", 2, model.options("audio", seed=1), engine=engine)
        np.testing.assert_array_equal(takes.takes[0].audio.samples, dog.samples)

    def test_a_call_that_is_cancelled_before_it_begins_raises(self):
        with ualm.Cancel() as cancel:
            self.assertFalse(cancel.cancelled)
            cancel.cancel()
            self.assertTrue(cancel.cancelled)
            with self.assertRaises(ualm.Cancelled):
                model.caption(dog, cancel=cancel)
            for make in (model.generate, model.speak):
                with self.assertRaises(ualm.Cancelled):
                    make("rain", cancel=cancel)
            takes = model.takes("rain", 2, cancel=cancel)
            with self.assertRaises(ualm.Cancelled):
                takes.best
            self.assertTrue(model.session().generate("rain", cancel=cancel).cancelled)


class Events(unittest.TestCase):
    def test_audio_chunks_add_up_to_the_sound(self):
        options = model.options("audio", seed=1)
        options.stream_audio = True
        events = list(model.session().stream("rain", options))
        self.assertIsInstance(events[0], ualm.SegmentStarted)
        self.assertIsInstance(events[-1], ualm.Finished)
        chunks = [event.audio.samples for event in events if isinstance(event, ualm.AudioChunk)]
        (ended,) = (event for event in events if isinstance(event, ualm.SegmentEnded))
        self.assertGreater(len(chunks), 1)
        np.testing.assert_array_equal(np.concatenate(chunks), ended.segment.audio.samples)
        self.assertEqual(ended.segment.frames.dtype, np.uint32)
        self.assertEqual(ended.segment.frames.shape, (events[-1].usage.steps, 8))

    def test_text_deltas_add_up_to_the_text(self):
        pieces = []
        with model.session() as session:
            prompt = [dog, "What sound is this?"]
            reply = session.generate(prompt, model.options("text"), on_event=lambda event: pieces.append(event))
        self.assertEqual("".join(event.text for event in pieces if isinstance(event, ualm.TextDelta)), reply.text)
        self.assertIsNone(reply.audio)
        self.assertGreater(sum(isinstance(event, ualm.TextDelta) for event in pieces), 2)

    def test_an_abandoned_generation_frees_the_session(self):
        session = model.session()
        for event in session.stream("a dog barking", model.options("audio", seed=1)):
            if isinstance(event, ualm.AudioProgress):
                break
        del event
        self.assertIn("dog", session.generate([dog, "What sound is this?"], model.options("text")).text)

    def test_a_generation_that_is_stopped_keeps_what_it_has(self):
        with model.session() as session, session.stream("a dog barking", model.options("audio", seed=1)) as generation:
            for event in generation:
                if isinstance(event, ualm.AudioProgress):
                    generation.stop()
        self.assertTrue(generation.closed)
        self.assertIsInstance(event, ualm.Finished)
        self.assertLess(event.usage.steps, len(session_frames()))

    def test_exceptions_of_callbacks_are_raised_by_the_call(self):
        session = model.session()
        for raised in (ZeroDivisionError, KeyboardInterrupt):
            def fail(_, raised=raised):
                raise raised

            with self.assertRaises(raised):
                session.generate("a dog barking", on_event=fail)
            with self.assertRaises(raised):
                model.takes("a dog barking", 2, on_event=fail)
        self.assertFalse(session.generate("a dog barking", model.options("audio", seed=1)).cancelled)


def session_frames():
    """Returns the frames of the dog."""
    return model.session().generate("a dog barking", model.options("audio", seed=1)).segments[0].frames


class Conversations(Folder):
    def test_replies_start_from_a_checkpoint(self):
        with model.session() as session:
            checkpoint = session.checkpoint("a dog barking", "audio")
            self.assertEqual(checkpoint.position, session.position)
            sounds = [session.generate(checkpoint, model.options("audio", seed=seed)).audio for seed in (1, 0, 1)]
            np.testing.assert_array_equal(sounds[0].samples, dog.samples)
            np.testing.assert_array_equal(sounds[0].samples, sounds[2].samples)
            self.assertFalse(np.array_equal(sounds[0].samples, sounds[1].samples))
            with session.fork(checkpoint) as fork:
                np.testing.assert_array_equal(fork.generate(checkpoint, model.options("audio", seed=1)).audio.samples, dog.samples)

    def test_the_first_frames_can_be_given(self):
        frames = session_frames()
        with model.session() as session:
            kept = session.checkpoint("a dog barking", "audio").keep("audio", frames[:5])
            reply = session.generate(kept, model.options("audio", seed=1))
            np.testing.assert_array_equal(reply.segments[0].frames[:5], frames[:5])
            words = session.checkpoint([dog, "What sound is this?"], "text").keep("text", model.text_ids("I hear"))
            self.assertTrue(session.generate(words, model.options("text")).text.startswith("I hear"))

    def test_a_conversation_is_rewound(self):
        with model.session() as session:
            mark = session.mark()
            session.generate("rain", model.options("audio"))
            self.assertGreater(session.position, 0)
            session.rewind(mark)
            self.assertEqual(session.position, 0)
            self.assertGreater(session.max_positions, 1000)

    def test_a_reply_continues(self):
        with model.session() as session:
            session.generate("a dog barking", model.options("audio", seed=1))
            more = session.generate(session.go_on(), model.options("text"))
        self.assertEqual(more.segments[0].modality, "text")

    def test_a_record_is_written_and_reproduced(self):
        file = self.folder / "dog é.wav"
        dog.write(file)
        with ualm.Record.read_wav(file) as record:
            self.assertEqual((record.turns, record.segments(0), record.segments(7)), (1, 1, 0))
            options = record.options(0, 0)
            self.assertEqual((options.seed, list(options.force)), (1, ["audio"]))
            again = ualm.Record.from_json(record.to_json())
        self.assertEqual(json.loads(again.to_json())["turns"][0]["segments"][0]["tokens"], session_frames().tolist())
        with model.session() as session:
            checkpoint = session.restore(again, 0, 0, 3)
            reply = session.generate(checkpoint, options)
            np.testing.assert_array_equal(reply.audio.samples, dog.samples)
            session.restore_turns(again, 1)
            self.assertEqual(session.record().turns, 1)

    def test_a_chain_plans_and_makes(self):
        events = []
        with model.chain("a dog barking", ualm.ChainOptions(seed=1, mode="reflect")) as chain:
            self.assertTrue(chain.trained)
            self.assertEqual(chain.stages[0], "plan")
            events.extend(chain)
            self.assertEqual(events[-1].usage.steps > 0, True)
            final = len(chain.stages) - 1
            self.assertEqual(chain.stages[final], "final")
            plan = chain.segment(0)
            sound = chain.audio(final)
            record = chain.record()
            self.assertEqual(chain.ranking, ())
        self.assertIn("dog", plan.text)
        self.assertGreater(sound.seconds, 0.1)
        ended = [event for event in events if isinstance(event, ualm.StageEnded)]
        self.assertEqual([event.stage for event in ended], list(chain_stages()))
        with model.resume_chain(record, final) as resumed:
            *_, last = (event for event in resumed if isinstance(event, ualm.StageEnded))
        np.testing.assert_array_equal(last.audio.samples, sound.samples)

    def test_a_chain_asks_and_is_answered(self):
        with model.chain("an animal", ualm.ChainOptions(seed=1, mode="dialogue")) as chain:
            asked = 0
            for event in chain:
                if isinstance(event, ualm.Question):
                    asked += 1
                    chain.answer("a dog")
                    chain.set_plan("a dog barking")
            self.assertEqual(asked, 1)
            self.assertEqual(chain.segment(chain.stages.index("plan")).text, "a dog barking")


def chain_stages():
    """Returns the stages of a reflection."""
    with model.chain("a dog barking", ualm.ChainOptions(seed=1, mode="reflect")) as chain:
        return chain.stages


class Parts(Folder):
    def test_sound_is_encoded_and_decoded(self):
        codes = model.encode(dog)
        self.assertEqual((codes.dtype, codes.shape[0]), (np.uint32, 8))
        back = model.decode(codes.astype(np.int64)[:, ::1])
        self.assertEqual(back.rate, 16000)
        self.assertAlmostEqual(back.seconds, dog.seconds, delta=0.05)
        np.testing.assert_array_equal(model.decode(np.asfortranarray(codes)).samples, back.samples)

    def test_numbers_have_their_shapes(self):
        hidden = model.manifest["language_model"]["hidden_size"]
        features = model.audio_features(dog)
        self.assertEqual((features.dtype, features.shape[1]), (np.float32, hidden))
        embeddings = model.prompt_embeddings(["What is it?", dog])
        self.assertEqual(embeddings.shape[1], hidden)
        self.assertGreater(len(embeddings), len(features))
        session = model.session()
        text, audio = session.next_logits("a dog barking")
        self.assertEqual((text.shape[0], audio.shape[0], session.position), (1, 1, 0))
        self.assertTrue(np.isfinite(text).all() and np.isfinite(audio).all())

    def test_only_packages_with_an_enhancer_enhance(self):
        self.assertIsNone(model.enhance(dog))
        with ualm.Model(here.FIXTURES / "enhanced-fp32") as enhanced:
            self.assertGreater(enhanced.enhance(dog).seconds, 0)

    def test_a_package_is_described_and_verified(self):
        self.assertEqual(model.manifest["name"], "ualm-small-world")
        self.assertRegex(model.sha256, "^[0-9a-f]{64}$")
        model.verify()
        model.load_all()
        graphs = {graph["graph"]: graph["provider"] for graph in model.report()["graphs"]}
        self.assertEqual(graphs["llm"], "cpu")
        self.assertIn("providers", ualm.report())
        self.assertRegex(ualm.version(), r"^\d+\.\d+\.\d+")

    def test_a_package_is_loaded_from_memory(self):
        files = {path.name: path.read_bytes() for path in here.TINY.iterdir()}
        with ualm.Model.from_files(files) as loaded, ualm.Model(here.TINY) as mapped:
            self.assertEqual(loaded.sha256, mapped.sha256)
            replies = [which.session().generate("rain", which.options("audio")).segments[0].frames for which in (loaded, mapped)]
        np.testing.assert_array_equal(*replies)

    def test_limits_are_enforced(self):
        limits = model.limits
        limits.input_seconds = 0.1
        with model.with_limits(limits) as limited:
            self.assertEqual(limited.limits, limits)
            with self.assertRaisesRegex(ualm.LimitError, "0.1"):
                limited.ask(dog)


class Sounds(Folder):
    def test_a_file_is_read_as_it_was_written(self):
        file = self.folder / "dog.wav"
        dog.write(file, format="float32")
        read = ualm.Audio.read(file)
        np.testing.assert_array_equal(read.samples, dog.samples)
        np.testing.assert_array_equal(ualm.Audio.read(file.read_bytes()).samples, dog.samples)
        with self.assertRaises(ualm.LimitError):
            ualm.Audio.read(file, max_seconds=0.01)
        with self.assertRaises(ualm.FileError):
            ualm.Audio.read(self.folder / "none.wav")
        with self.assertRaises(ualm.AudioError):
            ualm.Audio.read(b"not a sound")

    def test_channels_are_kept_in_files_and_mixed_for_the_model(self):
        both = ualm.Audio(np.stack([dog.samples, -dog.samples], axis=1), dog.rate)
        both.write(self.folder / "both.wav")
        with wave.open(str(self.folder / "both.wav")) as file:
            self.assertEqual((file.getnchannels(), file.getnframes()), (2, len(dog.samples)))
        silence = model.audio_features(ualm.Audio(np.zeros_like(dog.samples), dog.rate))
        np.testing.assert_array_equal(model.audio_features(both), silence)

    def test_any_floats_are_taken(self):
        wide = np.repeat(dog.samples, 2).astype(np.float64)
        for samples in (wide[::2], dog.samples.tolist(), dog.samples.astype(">f4"), np.asfortranarray(dog.samples[:, None])):
            np.testing.assert_array_equal(ualm.Audio(samples, dog.rate).samples.ravel(), dog.samples)


if __name__ == "__main__":
    unittest.main()
