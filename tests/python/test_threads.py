"""Threads that share objects. Python switches threads as often as it can, to expose races."""
import faulthandler
import sys
import threading
import time
import unittest

import here
import numpy as np
import ualm

faulthandler.enable()


def in_threads(work, count=6):
    """Runs `work(number)` in threads; returns their results, and raises an exception of any of them."""
    results = [None] * count
    failures = []

    def run(number):
        try:
            results[number] = work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


class Threads(unittest.TestCase):
    def setUp(self):
        self.model = ualm.Model(here.TINY)
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)

    def test_threads_share_a_model_and_have_their_own_errors(self):
        def work(number):
            frames = []
            for _ in range(3):
                frames.append(self.model.session().generate("a dog", self.model.options("audio", seed=7)).segments[0].frames)
                with self.assertRaisesRegex(ualm.PackageError, f"no/such/package {number}$|no/such/package {number}:"):
                    ualm.Model(f"no/such/package {number}")
            return frames

        made = [frames for result in in_threads(work) for frames in result]
        for frames in made:
            np.testing.assert_array_equal(frames, made[0])

    def test_sessions_of_an_engine_share_their_steps(self):
        alone = [self.model.session().generate("a dog", self.model.options("audio", seed=seed)).segments[0].frames for seed in range(4)]
        with self.model.engine(slots=8) as engine:
            def work(number):
                with engine.session() as session:
                    return session.generate("a dog", self.model.options("audio", seed=number)).segments[0].frames

            for mine, wanted in zip(in_threads(work, 4), alone):
                np.testing.assert_array_equal(mine, wanted)

    def test_events_of_one_generation_go_to_one_thread_at_a_time(self):
        generation = self.model.session().stream("a dog", self.model.options("audio", seed=1))

        def work(_):
            events = []
            while True:
                try:
                    events.append(next(generation))
                except ualm.BusyError:
                    continue
                except StopIteration:
                    return events

        events = [event for result in in_threads(work, 4) for event in result]
        self.assertEqual(sum(isinstance(event, ualm.Finished) for event in events), 1)

    def test_an_object_closed_during_a_call_is_freed_after_it(self):
        for _ in range(20):
            session = self.model.session()
            generation = session.stream("a dog", self.model.options("audio", seed=1))

            def work(number):
                if number:
                    time.sleep(0.001)
                    generation.stop()
                    generation.close()
                    session.close()
                    return
                try:
                    list(generation)
                except ualm.InvalidError as error:
                    self.assertIn("closed", str(error))

            in_threads(work, 2)

    def test_the_gil_is_released_while_the_model_runs(self):
        options = self.model.options("audio", seed=1)
        counted = [0]
        running = threading.Event()

        def count():
            while not running.is_set():
                counted[0] += 1
                time.sleep(0)

        thread = threading.Thread(target=count)
        thread.start()
        self.model.session().generate("a dog", options)
        before = counted[0]
        self.model.caption(ualm.Audio(np.random.default_rng(1).normal(0, 0.1, 160000), 16000))  # one call, without a callback
        during = counted[0] - before
        running.set()
        thread.join()
        self.assertGreater(during, 10)

    def test_a_token_stops_the_calls_of_all_threads(self):
        cancel = ualm.Cancel()

        def work(number):
            if number == 0:
                time.sleep(0.05)
                cancel.cancel()
                return True
            options = self.model.options("audio", seed=number)
            while not self.model.session().generate("a dog", options, cancel=cancel).cancelled:
                pass
            return True

        self.assertEqual(in_threads(work, 3), [True] * 3)


if __name__ == "__main__":
    unittest.main()
