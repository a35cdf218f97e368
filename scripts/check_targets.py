#!/usr/bin/env python3
"""Checks that the workspace compiles, without linking, for the other systems whose standard library is installed, and that it refuses
the processors that it cannot run on.

`rustup target add` installs a target. Crates with C code and assembly would need a compiler and headers for each target; nothing is linked,
so `true` replaces their compiler. Skipped targets are printed.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from crates import ROOT, host
from targets import installed_targets

CHECKED = ("aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-pc-windows-gnu", "aarch64-unknown-linux-gnu")
# The processors that src/hosts.rs refuses, and its words.
REFUSED = {
    "i686-unknown-linux-gnu": "needs a 64-bit processor",
    "armv7-unknown-linux-gnueabihf": "needs a 64-bit processor",
    "s390x-unknown-linux-gnu": "does not run on big-endian processors",
}


def missing_for(triple):
    """Returns the missing requirements of a target's check; `None` if there are none."""
    if triple not in installed_targets():
        return f"rustup target add {triple}"
    if triple in CHECKED and not shutil.which("true"):
        return "a system with the command true"
    return None


def compiles(triple):
    """Returns whether the whole workspace compiles; the compiler prints the errors."""
    name = triple.replace("-", "_")
    environment = os.environ | {f"{tool}_{name}": "true" for tool in ("CC", "CXX", "AR")}
    command = [os.environ.get("CARGO", "cargo"), "check", "--quiet", "--locked", "--workspace", "--all-features", "--target", triple]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def is_refused(triple):
    """Returns whether src/hosts.rs refuses a processor with its sentence."""
    with tempfile.TemporaryDirectory() as folder:
        command = [os.environ.get("RUSTC", "rustc"), "--crate-type=lib", "--crate-name=hosts", "--emit=metadata", f"--out-dir={folder}"]
        done = subprocess.run([*command, f"--target={triple}", ROOT / "src/hosts.rs"], capture_output=True, text=True, check=False)
    return done.returncode != 0 and REFUSED[triple] in done.stderr


def main():
    failed = []
    unchecked = []
    for triple, is_right in [*((triple, compiles) for triple in CHECKED), *((triple, is_refused) for triple in REFUSED)]:
        lacking = None if triple == host() else missing_for(triple)
        if lacking:
            unchecked.append(f"{triple} ({lacking})")
        elif triple != host() and not is_right(triple):
            failed.append(triple)
    if unchecked:
        print(f"note: not checked: {', '.join(unchecked)}")
    wrong = [triple for triple in failed if triple in REFUSED]
    if wrong:
        sys.exit(f"check_targets.py: src/hosts.rs does not refuse {', '.join(wrong)} as it should")
    if failed:
        sys.exit(f"check_targets.py: the workspace does not compile for {', '.join(failed)}; see the compiler's errors above")


if __name__ == "__main__":
    main()
