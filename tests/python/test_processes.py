"""Processes that end, fork or are interrupted while a model runs."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import here

BEGIN = f"""
import os, signal, sys, threading, time
import ualm
model = ualm.Model({str(here.TINY)!r})
options = model.options("audio", seed=1)
options.audio.max_steps, options.max_segments = 1000, 200
options.audio.min_steps = 999
"""


class Ends(unittest.TestCase):
    def test_a_daemon_thread_that_generates_does_not_hinder_the_end(self):
        for work in (
            'model.session().generate("rain", options)',
            'model.takes("rain", 3, options, on_event=lambda event: None)',
            'list(model.chain("rain", settings=options))',
            '[ualm.Model(' + repr(str(here.TINY)) + ') for _ in range(10000)]',
        ):  # fmt: skip
            program = BEGIN + f"""
def work():
    try:
        while True: {work}
    except ualm.BusyError as error: assert "interpreter is exiting" in str(error), error
for _ in range(2): threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("end")
"""
            with self.subTest(work):
                done = here.run(program, timeout=60)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "end\n", ""))

    def test_objects_that_are_left_open_do_not_hinder_the_end(self):
        program = BEGIN + """
session = model.session(); generation = session.stream("rain", options); next(generation); next(generation)
engine = model.engine(slots=2); other = engine.session(); chain = model.chain("rain"); next(chain)
cycle = [model, generation]; cycle.append(cycle)
print("end")
"""
        self.assertEqual(here.printed(program), "end\n")

    def test_sys_exit_and_exceptions_in_callbacks_end_the_process_as_ever(self):
        program = BEGIN + """
def stop(event): sys.exit(7)
model.takes("rain", 2, options, on_event=stop)
"""
        self.assertEqual(here.run(program).returncode, 7)


class Runtimes(unittest.TestCase):
    def test_later_calls_use_the_running_runtime(self):
        """The library here is that of the package `onnxruntime`, as with an installed wheel, or another one that is named."""
        library = pathlib.Path(os.environ["ORT_DYLIB_PATH"]).resolve()
        with tempfile.TemporaryDirectory() as folder:
            capi = pathlib.Path(folder, "onnxruntime/capi")
            other = pathlib.Path(folder, "other", library.name)
            for place in (capi, other.parent):
                place.mkdir(parents=True)
                shutil.copy2(library, place / library.name)
            (capi.parent / "__init__.py").touch()
            environment = {name: value for name, value in os.environ.items() if name != "ORT_DYLIB_PATH"}
            environment["PYTHONPATH"] = os.pathsep.join((folder, environment["PYTHONPATH"]))
            for options, expected in (({"threads": 2}, capi), ({"library": str(other)}, other.parent)):
                program = f"import ualm; ualm.Model({str(here.TINY)!r}, **{options}); print(ualm.Model({str(here.TINY)!r}).report()['library'])"
                with self.subTest(str(options)):
                    printed = here.printed(program, env=environment).strip()
                    self.assertEqual(pathlib.Path(printed), expected.resolve() / library.name)


@unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
class Forks(unittest.TestCase):
    def test_a_forked_child_gets_an_error_and_the_parent_continues(self):
        program = BEGIN + """
session = model.session(); generation = session.stream("rain", options); next(generation)
import warnings; warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    for call in (lambda: next(generation), lambda: model.session(), lambda: ualm.Model(sys.argv[1]), ualm.report):
        try: call()
        except ualm.BusyError as error: assert "fork" in str(error), error
        else: os._exit(1)
    del session, generation, model
    os._exit(5)  # as the processes of multiprocessing end: ONNX Runtime's own handlers wait for its threads
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
generation.close()
print(len(session.generate("rain", model.options("audio")).segments))
"""
        self.assertEqual(here.printed(program, here.TINY), "5\n1\n")

    def test_a_child_forked_before_any_model_loads_its_own(self):
        program = """
import os, sys
import ualm
ualm.version()
child = os.fork()
if child == 0:
    print(len(ualm.Model(sys.argv[1]).session().generate("rain").segments) > 0, flush=True)
    os._exit(0)
os.waitpid(child, 0)
ualm.Model(sys.argv[1])
"""
        self.assertEqual(here.printed(program, here.TINY), "True\n")

    def test_spawned_processes_have_their_own_models(self):
        program = """
import multiprocessing, sys
from spawned import frames
if __name__ == "__main__":
    import ualm
    mine = frames(sys.argv[1])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(frames, [sys.argv[1]] * 2) == [mine, mine])
"""
        self.assertEqual(here.printed(program, here.TINY), "True\n")


@unittest.skipIf(os.name == "nt", "signals are sent otherwise there")
class Interrupts(unittest.TestCase):
    def interrupted(self, work):
        """Returns the output of a program that Ctrl-C interrupts while it works."""
        program = BEGIN + f"""
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
print("begins", flush=True)
try: {work}
except KeyboardInterrupt: print("interrupted", flush=True)
print(len(model.session().generate("rain", model.options("audio")).segments), flush=True)
"""
        command = [sys.executable, "-X", "faulthandler", "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            begun = process.stdout.readline()
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            try:
                printed, remarks = process.communicate(timeout=60)
            finally:
                process.kill()
        self.assertEqual((process.returncode, remarks), (0, ""), begun + printed)
        return printed

    def test_ctrl_c_ends_the_running_call_and_the_model_still_works(self):
        for work in (
            '[model.session().generate("rain", options) for _ in range(1000)]',
            '[model.takes("rain", 4, options) for _ in range(1000)]',
            '[list(model.chain("rain", settings=options)) for _ in range(1000)]',
        ):  # fmt: skip
            with self.subTest(work):
                self.assertEqual(self.interrupted(work), "interrupted\n1\n")


if __name__ == "__main__":
    unittest.main()
