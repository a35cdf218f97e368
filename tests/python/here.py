"""The location of the Python interface's tests: crates/python, with the C library that `make test-interface` builds."""
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "crates/python"
DEFAULT = ROOT / "onnx/default"
FIXTURES = ROOT / "target/fixtures/packages"
TINY = FIXTURES / "tiny-omni-fp32"

if sys.version_info < (3, 11):
    raise unittest.SkipTest("the Python interface needs Python 3.11: of ONNX Runtime 1.31 there is no wheel for an older one")

sys.path.insert(0, str(ROOT / "scripts"))
import install_c_library  # noqa: E402
from targets import this_target  # noqa: E402

library = ROOT / "target/c-library/prefix" / install_c_library.names(install_c_library.abi_version(), this_target()).shared
os.environ.setdefault("UALM_C_LIBRARY", str(library))
sys.path.insert(0, str(SOURCES))
os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCES), str(pathlib.Path(__file__).parent)])


def run(program, *arguments, timeout=60, **changes):
    """Runs a program text in a new interpreter; returns the completed process."""
    command = [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=timeout, check=False, **changes)


def printed(program, *arguments, **changes):
    """Returns the output of a program that must succeed without writing to standard error."""
    done = run(program, *arguments, **changes)
    if done.returncode or done.stderr:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout
