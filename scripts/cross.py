#!/usr/bin/env python3
"""Builds the program and the C library for another system, and lays out what they need to run there.

    target/cross/TRIPLE/       ualm or ualm.exe, and ONNX Runtime's library beside it
    target/cross/TRIPLE/c/     the C library, as `make install-c` lays it out

With --test the tests of the library that compare it with the reference's answers are built, too, and run by an emulator. Nothing is installed on this machine; what is missing is named. Needs Python 3.10 or later with pip, Rust, and the compiler for the
other system.
"""
import argparse
import os
import shutil
import subprocess
import sys

import install_c_library
from crates import ROOT, cargo
from fetch_onnxruntime import Failure
from targets import WORK, check, target_of


def build(target):
    """Builds everything; gives the folder that it is laid out in."""
    check(target.missing(), target)
    os.environ.update(target.environment())
    cargo("build", "--release", "--locked", "--package=ualm-cli", *target.cargo_arguments())
    folder = WORK / target.triple
    folder.mkdir(parents=True, exist_ok=True)
    library = target.onnx_runtime()
    for source in (target.folder("release") / target.program, library):
        shutil.copy2(source, folder / source.name)
    abi = install_c_library.abi_version()
    install_c_library.install(*install_c_library.build("release", abi, target), folder / "c", abi, target)
    return folder


REFERENCE_TESTS = ("reference::", "audex::", "numbers::", "default_package::")


def test(target):
    """Runs the tests of the library that hold its tokens and samples against the reference's."""
    check(target.missing() + target.missing_emulator(), target)
    runner = {f"CARGO_TARGET_{target.triple.upper().replace('-', '_')}_RUNNER": " ".join(target.emulator)}
    os.environ.update(target.environment() | target.run_environment() | runner)
    os.environ["ORT_DYLIB_PATH"] = str(target.onnx_runtime())
    cargo = [os.environ.get("CARGO", "cargo"), "test", "--release", "--locked", "--package=ualm", "--test=library"]
    subprocess.run([*cargo, *target.cargo_arguments(), "--", *REFERENCE_TESTS], cwd=ROOT, check=True)


def main():
    parser = argparse.ArgumentParser(description="Build the program and the C library for another system.")
    parser.add_argument("target", metavar="TRIPLE", help="as rustc names it: aarch64-unknown-linux-gnu, x86_64-pc-windows-gnu")
    parser.add_argument("--test", action="store_true", help="run the tests that compare with the reference, by an emulator")
    arguments = parser.parse_args()
    try:
        target = target_of(arguments.target)
        print(build(target))
        if arguments.test:
            test(target)
    except (Failure, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"cross.py: {error}")


if __name__ == "__main__":
    main()
