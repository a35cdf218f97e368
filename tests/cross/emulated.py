"""The programs of `make cross`, run by an emulator in a folder whose name is not ASCII.

UALM_CROSS_TARGET names the system; UALM_NATIVE is the program of this machine, with which answers are compared.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from targets import WORK, check, target_of  # noqa: E402

TARGET = target_of(os.environ["UALM_CROSS_TARGET"])
BUILT = WORK / TARGET.triple
NATIVE = pathlib.Path(os.environ["UALM_NATIVE"])
FIXTURES = ROOT / "target/fixtures/packages"
NAME = "Grüße 🎵"
# The environment without variables that refer to this machine's library or the emulator's folders.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("UALM_", "ORT_", "QEMU_", "WINE"))}
ENVIRONMENT |= TARGET.run_environment()


class Emulated(unittest.TestCase):
    """A test of programs of the other system."""

    @classmethod
    def setUpClass(cls):
        check(TARGET.missing_emulator(), TARGET)
        TARGET.prepare_to_run()
        temporary = tempfile.TemporaryDirectory(prefix="ualm cross ", ignore_cleanup_errors=True)
        cls.addClassCleanup(temporary.cleanup)
        cls.there = pathlib.Path(temporary.name).resolve() / NAME
        cls.there.mkdir()
        for path in BUILT.iterdir():
            if path.is_file():
                shutil.copy2(path, cls.there)
        (cls.there / "package").symlink_to(ROOT / "onnx/default")

    def command(self, *arguments, program=None, processor=None):
        """Returns the command line that runs a program, by default `ualm`, in the emulator."""
        program = program or self.there / TARGET.program
        return [*TARGET.run_command(processor), str(program), *map(str, arguments)]

    def run_there(self, *arguments, program=None, processor=None, code=0):
        """Runs a program in the emulator, in the test's folder; returns its standard output."""
        command = self.command(*arguments, program=program, processor=processor)
        done = subprocess.run(command, cwd=self.there, env=ENVIRONMENT, capture_output=True, check=False)
        shown = f"{command}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
        self.assertEqual(done.returncode, code, shown)
        return done.stdout.decode().replace("\r\n", "\n")

    def run_natively(self, *arguments):
        """Runs this machine's program in the test's folder; returns its standard output."""
        command = [str(NATIVE), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.there, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stderr.decode(errors='replace')}")
        return done.stdout.decode()


def say(words):
    """Prints a finding among the test's own lines."""
    print(f"\n{TARGET.triple}: {words}", file=sys.stderr, flush=True)
