#!/usr/bin/env python3
"""Makes a Python environment for the exporter and its tests, and prints the path of its interpreter.

The packages are those of export/requirements.txt (or of the given file), pinned with hashes. Environments are in the user's
cache, one for each content of that file and version of Python, and are made only once. Needs Python 3.10 or later with pip.

Packages of the file that --source names are compiled, with the build tools that the other file installs.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from fetch_onnxruntime import Failure, cache_folder  # noqa: E402

REQUIREMENTS = pathlib.Path(__file__).resolve().parent.parent / "export" / "requirements.txt"
OLDEST_PYTHON = (3, 10)


def run(*command):
    """Runs a command; its output goes to stderr, because stdout is for the path."""
    return subprocess.run([str(part) for part in command], stdout=sys.stderr, check=False).returncode == 0


def quiet(*command):
    """Returns whether a command succeeds; discards its output."""
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


def make(folder, interpreter, requirements, source):
    """Makes the environment in `folder`."""
    # `uv pip compile` lists every dependency in the files; dependencies that are missing there are omitted on purpose.
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    wheels = [*install, "--only-binary=:all:", "--requirement", requirements]
    # Debian ships Python without ensurepip; the outer pip can install into an environment without pip.
    if quiet(sys.executable, "-m", "pip", "--python", sys.executable, "--version"):
        made = run(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
        pip = [sys.executable, "-m", "pip", "--python", interpreter]
    else:
        made = run(sys.executable, "-m", "venv", "--clear", folder)
        pip = [interpreter, "-m", "pip"]
    if not made:
        raise Failure("Python could not make a virtual environment (on Debian and Ubuntu: apt install python3-venv python3-pip)")
    if not run(*pip, *wheels):
        raise Failure(f"pip could not install {requirements}; its output is above")
    if source and not run(*pip, *install, "--no-binary=:all:", "--no-build-isolation", "--requirement", source):
        raise Failure(f"pip could not compile {source}; its output is above")


def environment(requirements, source=None):
    """Returns the interpreter of the environment; makes the environment if it is missing."""
    if sys.version_info < OLDEST_PYTHON:
        raise Failure(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or later is needed, this is {sys.version.split()[0]}")
    content = requirements.read_bytes() + (source.read_bytes() if source else b"")
    key = content + f"{sys.version} {sys.prefix}".encode()
    folder = cache_folder() / f"python-{hashlib.sha256(key).hexdigest()[:12]}"
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "finished"
    if not finished.exists() or not quiet(interpreter, "-c", ""):
        print(f"Making a Python environment from {requirements.name} ...", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            make(folder, interpreter, requirements, source)
        except Failure:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finished.touch()
    return interpreter


def main():
    parser = argparse.ArgumentParser(description="Make the exporter's Python environment and print its interpreter's path.")
    parser.add_argument("requirements", nargs="?", type=pathlib.Path, default=REQUIREMENTS)
    parser.add_argument("--source", type=pathlib.Path, metavar="FILE", help="packages to compile on this machine")
    arguments = parser.parse_args()
    try:
        print(environment(arguments.requirements, arguments.source))
    except (Failure, OSError) as error:
        sys.exit(f"python_environment.py: {error}")


if __name__ == "__main__":
    main()
