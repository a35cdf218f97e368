#!/usr/bin/env python3
"""Fetches ONNX Runtime's library into the user's cache, where ualm looks for it, and prints its path.

The library is taken out of the pip wheel of the pinned version, whose SHA-256 pip checks. Nothing is installed into Python, and
nothing is fetched when the library is there already. Needs Python 3.8 or later with pip; nothing else.

The cache is $XDG_CACHE_HOME/ualm, ~/.cache/ualm, or on Windows %LOCALAPPDATA%\\ualm.
"""
import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "1.32.0"

# What a flavour consists of: the package, the version of Python whose wheel is taken (any would do: the library does not depend
# on it), and for each system the tags that its wheel may carry and the wheel's SHA-256 (`pip download`, then `pip hash`).
FLAVOURS = {
    "cpu": {
        "package": "onnxruntime",
        "python": "3.12",
        "wheels": {
            ("linux", "x86_64"): (
                ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
                "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
            ),
            ("linux", "aarch64"): (
                ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"],
                "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
            ),
            ("macos", "aarch64"): (
                ["macosx_14_0_arm64"],
                "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
            ),
            ("windows", "x86_64"): (
                ["win_amd64"],
                "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
            ),
            ("windows", "aarch64"): (
                ["win_arm64"],
                "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
            ),
        },
    },
}

LIBRARY = re.compile(r"libonnxruntime\.so\.[0-9.]+|libonnxruntime\.[0-9.]+\.dylib|onnxruntime\.dll")
WANTED = re.compile(LIBRARY.pattern + r"|(lib)?onnxruntime_providers_\w+\.(so|dll)|LICENSE|ThirdPartyNotices\.txt")


class Failure(Exception):
    """A failure with a sentence for a person."""


def this_system():
    """The system and its processor, by the names of FLAVOURS."""
    systems = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
    processors = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    machine = platform.machine()
    return systems.get(platform.system(), platform.system()), processors.get(machine.lower(), machine)


def cache_folder():
    """This project's folder in the user's cache; src/runtime.rs follows the same rule."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.path.join(os.path.expanduser("~"), ".cache")
    if not base:
        raise Failure("there is no cache folder: set XDG_CACHE_HOME")
    return pathlib.Path(base) / "ualm"


def library_in(folder):
    """The library in a folder, or None."""
    found = sorted(path for path in folder.iterdir() if LIBRARY.fullmatch(path.name)) if folder.is_dir() else []
    return found[0] if found else None


def download(flavour, system, folder):
    """Downloads the wheel with pip, which checks its hash, and returns its path."""
    wheels = FLAVOURS[flavour]["wheels"]
    if system not in wheels:
        known = ", ".join(" ".join(name) for name in wheels)
        raise Failure(
            f"there is no pip wheel of ONNX Runtime {VERSION} ({flavour}) for {' '.join(system)} (only for {known}): "
            "build or install the library yourself and set ORT_DYLIB_PATH to its file"
        )
    tags, digest = wheels[system]
    python = FLAVOURS[flavour]["python"]
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{FLAVOURS[flavour]['package']}=={VERSION} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", f"--abi=cp{python.replace('.', '')}"]
    command += [f"--platform={tag}" for tag in tags] + ["--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(command, env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "false"}, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise Failure("pip could not download the wheel; its own words are above")
    return next(folder.glob("*.whl"))


def extract(wheel, folder):
    """Takes the library and its licences out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename.rsplit("/", 1)[-1]
            if WANTED.fullmatch(name):
                with archive.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
    if library_in(folder) is None:
        raise Failure(f"there is no library in {wheel.name}")


def fetch(flavour, system=None):
    """The path of the library in the cache, after fetching it if need be."""
    system = system or this_system()
    own = system == this_system()
    folder = cache_folder() / "onnxruntime" / (VERSION if flavour == "cpu" else f"{VERSION}-{flavour}")
    if not own:
        folder = cache_folder() / "onnxruntime-foreign" / "-".join((*system, folder.name))
    if library_in(folder):
        return library_in(folder)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        raise Failure(f"{sys.executable} has no pip: install it (on Debian and Ubuntu: apt install python3-pip)")
    print(f"Fetching ONNX Runtime {VERSION} ({flavour}) ...", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
        parts = pathlib.Path(temporary)
        (parts / "wheel").mkdir()
        (parts / "content").mkdir()
        extract(download(flavour, system, parts / "wheel"), parts / "content")
        if folder.exists() and not library_in(folder):
            shutil.rmtree(folder)
        try:
            (parts / "content").rename(folder)
        except OSError:
            if not library_in(folder):  # another process was faster: its result is as good
                raise
    return library_in(folder)


def main():
    parser = argparse.ArgumentParser(description="Fetch ONNX Runtime's library into the cache and print its path.")
    parser.add_argument("--flavour", choices=sorted(FLAVOURS), default="cpu", help="which build of the library (default: cpu)")
    parser.add_argument("--system", metavar="SYSTEM-PROCESSOR", help="fetch for another machine, as windows-x86_64")
    arguments = parser.parse_args()
    try:
        system = tuple(arguments.system.split("-", 1)) if arguments.system else None
        print(fetch(arguments.flavour, system))
    except (Failure, OSError) as error:
        sys.exit(f"fetch_onnxruntime.py: {error}")


if __name__ == "__main__":
    main()
