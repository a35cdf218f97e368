#!/usr/bin/env python3
"""Runs the program with little memory and one processor, as a small machine has it, and prints what works, its time and its peak.

    sudo python3 benches/small_machines.py --program target/release/ualm PACKAGE...

Each command runs in a control group with a limit on its memory (files that are mapped count, and are read again where there is no room) and
without swap, pinned to one processor, with `--threads 1 --low-memory`. Linux, and the right to make control groups.
"""
import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
V1, V2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
COMMANDS = {
    "generate": ["generate", "a dog barking", "--seed", "1", "-o", "made.wav"],
    "ask": ["ask", "made.wav", "What sound is this?"],
}
MEBIBYTE = 1 << 20
LONGEST = 60
"""Seconds that a command is given: with too little memory a program reads the same files again and again."""


class Group:
    """A control group with a limit on its memory."""

    def __init__(self, limit):
        self.is_v1 = V1.is_dir()
        self.folder = (V1 if self.is_v1 else V2) / f"ualm-{os.getpid()}"
        self.folder.mkdir()
        self.write("memory.limit_in_bytes" if self.is_v1 else "memory.max", limit)
        with contextlib.suppress(OSError):  # a machine without swap has no such file
            self.write("memory.memsw.limit_in_bytes" if self.is_v1 else "memory.swap.max", limit if self.is_v1 else 0)

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def enter(self):
        self.write("cgroup.procs", os.getpid())
        os.sched_setaffinity(0, {0})

    def peak(self):
        """The most bytes that were taken, mapped files among them."""
        return int((self.folder / ("memory.max_usage_in_bytes" if self.is_v1 else "memory.peak")).read_text())

    def close(self):
        self.folder.rmdir()


def forget(files):
    """Drops files from the system's cache, so that reading them counts for the group that does."""
    for path in files:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(program, library, package, command, limit, folder):
    """How a command ends, its seconds, and its peak in MiB."""
    forget([program, library, *package.iterdir()])
    group = Group(limit)
    arguments = [program, *command, "--library", library, "--model", package, "--threads", "1", "--low-memory", "--quiet"]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            arguments, cwd=folder, preexec_fn=group.enter, capture_output=True, text=True, check=False, timeout=LONGEST
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        done = None
    try:
        return done, time.monotonic() - begin, group.peak() / MEBIBYTE
    finally:
        group.close()


def words(done):
    """How a command ended, for a table."""
    if done is None:
        return f"not done after {LONGEST} s"
    if done.returncode == 0:
        return "works"
    if done.returncode == -signal.SIGKILL:
        return "killed: too little memory"
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def main():
    parser = argparse.ArgumentParser(description="Run the program with little memory.")
    parser.add_argument("packages", nargs="*", type=pathlib.Path, default=[ROOT / "onnx/default"], metavar="PACKAGE")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/ualm")
    parser.add_argument("--library", default=os.environ.get("ORT_DYLIB_PATH"), help="ONNX Runtime's (default: ORT_DYLIB_PATH)")
    parser.add_argument("--mebibytes", type=int, nargs="+", default=[48, 64, 96, 128, 256, 512, 1024], help="default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.library:
        parser.error("name ONNX Runtime's library with --library: scripts/fetch_onnxruntime.py prints its path")
    program, library = arguments.program.resolve(), pathlib.Path(arguments.library).resolve()
    print("| package | memory | command | | seconds | peak, MiB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, *COMMANDS["generate"], "--library", library], cwd=folder, capture_output=True, check=True)
        for package in arguments.packages:
            for mebibytes in arguments.mebibytes:
                for name, command in COMMANDS.items():
                    try:
                        done, seconds, peak = run(program, library, package.resolve(), command, mebibytes * MEBIBYTE, folder)
                    except OSError as error:
                        sys.exit(f"small_machines.py: a control group cannot be made: {error}")
                    cells = [package.name, f"{mebibytes} MiB", name, words(done), f"{seconds:.2f}", f"{peak:.0f}"]
                    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
