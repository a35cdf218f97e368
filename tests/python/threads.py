"""Six threads that share one Library of examples/python/ualm_ctypes.py: threads.py EXAMPLE LIBRARY PACKAGE FOLDER

Prints the frames of each thread's sounds as JSON. Threads change as often as Python can, so that what is not safe shows.
"""
import faulthandler
import importlib.util
import json
import pathlib
import sys
import threading

faulthandler.enable()
sys.setswitchinterval(1e-6)
example, library, package, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("ualm_ctypes", example)
ualm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ualm)
shared, made = ualm.Library(library), {}


def work(number):
    """Makes two sounds, and fails once between them."""
    sounds = []
    for turn in range(2):
        out = pathlib.Path(folder) / f"{number}-{turn}.wav"
        sounds.append(ualm.generate(shared, package, "a dog barking", str(out), 7)[1])
        try:
            shared.model_load(b"no/such/package", None, ualm.byref(ualm.c_void_p()))
        except ualm.UalmError as error:
            assert "no/such/package" in str(error), error  # the error is this thread's own
        else:
            raise AssertionError("a package that is not there was loaded")
    made[number] = sounds


threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps([made[number] for number in sorted(made)]))
