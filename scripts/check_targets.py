#!/usr/bin/env python3
"""Checks that the workspace compiles for the other systems whose standard library is installed, without linking.

An installed target is one of `rustup target add`. One of the crates has assembly, which wants a C compiler for the target: clang is one
for all of them. What is not checked is said.
"""
import os
import shutil
import subprocess
import sys

from crates import ROOT, host
from targets import installed_targets

CHECKED = ("aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-pc-windows-gnu", "aarch64-unknown-linux-gnu")


def missing_for(triple):
    """What the check of a target lacks here; None for nothing."""
    if triple not in installed_targets():
        return f"rustup target add {triple}"
    if not shutil.which("clang"):
        return "clang"
    return None


def check(triple):
    name = triple.replace("-", "_")
    environment = {**os.environ, f"CC_{name}": "clang", f"CXX_{name}": "clang++"}
    command = [os.environ.get("CARGO", "cargo"), "check", "--quiet", "--locked", "--workspace", "--all-features", "--target", triple]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def main():
    failed = []
    for triple in CHECKED:
        if triple == host():
            continue
        lacking = missing_for(triple)
        if lacking:
            print(f"note: {triple} was not checked: it needs {lacking}")
        elif not check(triple):
            failed.append(triple)
    if failed:
        sys.exit(f"check_targets.py: the workspace does not compile for {', '.join(failed)}; the compiler's words are above")


if __name__ == "__main__":
    main()
