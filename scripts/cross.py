#!/usr/bin/env python3
"""Builds the program and the C library for another system, with the libraries that they need to run.

    target/cross/TRIPLE/       ualm or ualm.exe, and ONNX Runtime's library beside it
    target/cross/TRIPLE/c/     the C library, in the layout of `make install-c`

With --test the library's tests against the reference implementations are built too, and run in an emulator, once for each processor
that it supports. Nothing is installed on this machine; missing tools are named. Needs Python 3.10 or later with pip, Rust, and the
compiler for the other system.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

import install_c_library
from crates import ROOT, cargo
from fetch_onnxruntime import Failure
from targets import WORK, check, target_of

# Unit tests of integer products, and the tests of tokens, logits and sounds against the reference implementations.
EXACT = ("product::", "reference::", "audex::")
# Tests that run on the first processor alone: damaged numbers, and the default package with its own judge.
ONCE = ("numbers::", "default_package::")


def build(target):
    """Builds the program and the C library; returns their folder."""
    cargo("build", "--release", "--locked", "--package=ualm-cli", *target.cargo_arguments())
    folder = WORK / target.triple
    folder.mkdir(parents=True, exist_ok=True)
    library = target.onnx_runtime()
    for source in (target.folder("release") / target.program, library):
        shutil.copy2(source, folder / source.name)
    abi = install_c_library.abi_version()
    install_c_library.install(*install_c_library.build("release", abi, target), folder / "c", abi, target)
    return folder


def test(target):
    """Runs the library's tests that compare exact numbers, or tokens of a reference implementation."""
    for processor in target.processors():
        name = f" ({processor})" if processor else ""
        filters = EXACT + (ONCE if processor == target.processors()[0] else ())
        start = time.monotonic()
        test_on(target, processor, filters)
        print(f"cross.py: {target.triple}{name}: tests {' '.join(filters)} passed in {time.monotonic() - start:.0f} s", flush=True)


def test_on(target, processor, filters):
    """Runs the tests whose names contain one of the filters; a test without its fixtures fails."""
    runner = {f"CARGO_TARGET_{target.triple.upper().replace('-', '_')}_RUNNER": " ".join(target.run_command(processor))}
    own = {"ORT_DYLIB_PATH": str(target.onnx_runtime()), "UALM_REQUIRE_FIXTURES": "1"}
    environment = os.environ | target.run_environment() | (runner if target.run_command(processor) else {}) | own
    command = [os.environ.get("CARGO", "cargo"), "test", "--release", "--locked", "--package=ualm", "--lib", "--test=library"]
    subprocess.run([*command, *target.cargo_arguments(), "--", *filters], cwd=ROOT, env=environment, check=True)


def main():
    parser = argparse.ArgumentParser(description="Build the program and the C library for another system.")
    parser.add_argument("target", metavar="TRIPLE", help="rustc's name of the target: aarch64-unknown-linux-gnu, x86_64-pc-windows-gnu")
    parser.add_argument("--test", action="store_true", help="run the tests against the reference implementations in an emulator")
    arguments = parser.parse_args()
    try:
        target = target_of(arguments.target)
        check(target.missing() + (target.missing_emulator() if arguments.test else []), target)
        os.environ.update(target.environment())
        print(build(target), flush=True)
        if arguments.test:
            target.prepare_to_run()
            test(target)
    except (Failure, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"cross.py: {error}")


if __name__ == "__main__":
    main()
