#!/usr/bin/env python3
"""Runs the program with little memory and one processor, as on a small machine, and prints results, times and memory.

    library=$(python3 scripts/fetch_onnxruntime.py)
    sudo python3 benches/small_machines.py --library "$library" [PACKAGE...]              # a table for several limits
    sudo python3 benches/small_machines.py --library "$library" --smallest [PACKAGE...]   # the smallest limit that works

Each command runs in a control group with a memory limit (mapped files count, and are read again if there is no room) and without swap,
pinned to one processor, with `--threads 1 --low-memory`. Needs Linux, and the right to make control groups. The default package makes
sound until it ends; a larger one makes 50 steps of sound and writes 10 words.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import wave

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "onnx/default"
V1 = pathlib.Path("/sys/fs/cgroup/memory")
V2 = pathlib.Path("/sys/fs/cgroup")
MEBIBYTE = 1 << 20
LONG = 60
"""Seconds of the long recording."""
COMMANDS = {
    "generate": ["generate", "a dog barking", "--seed", "1", "-o", "out.wav"],
    "ask, half a second": ["ask", "short.wav", "What sound is this?", "--seed", "1"],
    f"ask, {LONG} s": ["ask", "long.wav", "What sounds are these?", "--seed", "1"],
    f"codec encode, {LONG} s": ["codec", "encode", "long.wav", "-o", "out.npy"],
    f"codec decode, {LONG} s": ["codec", "decode", "long.npy", "-o", "out.wav"],
    "serve, one client": ["serve", "--listen", "127.0.0.1:0", "--slots", "1", "--limit-context", "1024"],
}
SHORTER = {"generate": ["--max-steps", "50"], "ask": ["--max-steps", "10"]}
"""Options added to a command with a large package."""
FOR_LARGE = ["generate", "ask, half a second"]


class Group:
    """A control group with a memory limit."""

    def __init__(self, limit):
        self.is_v1 = V1.is_dir()
        self.folder = (V1 if self.is_v1 else V2) / f"ualm-{os.getpid()}"
        self.folder.mkdir()
        self.write("memory.limit_in_bytes" if self.is_v1 else "memory.max", limit)
        with contextlib.suppress(OSError):  # a machine without swap lacks the file
            self.write("memory.memsw.limit_in_bytes" if self.is_v1 else "memory.swap.max", limit if self.is_v1 else 0)

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def enter(self):
        self.write("cgroup.procs", os.getpid())
        os.sched_setaffinity(0, {0})

    def own_memory(self):
        """Returns the bytes in use, without those of files, which can be read again."""
        names = {"rss", "anon"}
        lines = (line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return next(int(value) for name, value in lines if name in names)

    def close(self):
        self.folder.rmdir()


class Watch(threading.Thread):
    """Samples a group's own memory every 5 ms."""

    def __init__(self, group):
        super().__init__(daemon=True)
        self.group = group
        self.most = 0
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.wait(0.005):
            self.most = max(self.most, self.group.own_memory())

    def end(self):
        self.is_over.set()
        self.join()
        return self.most


def forget(files):
    """Drops files from the system's cache, so that reading them counts for the group that reads them."""
    for path in files:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Machine:
    """The program with a package, on a machine with limited memory."""

    def __init__(self, program, library, package, folder, longest):
        self.program = program
        self.library = library
        self.package = package.resolve()
        self.folder = folder
        self.longest = longest
        self.is_large = sum(path.stat().st_size for path in self.package.iterdir()) > 200 * MEBIBYTE

    def commands(self):
        return {name: command for name, command in COMMANDS.items() if not self.is_large or name in FOR_LARGE}

    def arguments(self, command):
        shorter = SHORTER.get(command[0], []) if self.is_large else []
        options = ["--library", self.library, "--model", self.package, "--threads", "1", "--low-memory"]
        return [str(part) for part in (self.program, *command, *shorter, *options)]

    def run(self, command, limit):
        """Runs a command; returns its result in words, its seconds, and its own memory in MiB."""
        forget([self.program, self.library, *self.package.iterdir()])
        group = Group(limit)
        begin = time.monotonic()
        try:
            child = subprocess.Popen(
                self.arguments(command), cwd=self.folder, preexec_fn=group.enter, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )  # fmt: skip
            watch = Watch(group)
            watch.start()
            outcome = self.serve(child, begin) if command[0] == "serve" else self.wait(child)
            return outcome, time.monotonic() - begin, watch.end() / MEBIBYTE
        finally:
            group.close()

    def wait(self, child):
        try:
            _, errors = child.communicate(timeout=self.longest)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return f"not done after {self.longest} s"
        return words(child.returncode, errors)

    def serve(self, child, begin):
        """Runs a server, requests one sound, and stops the server."""
        try:
            end = threading.Timer(self.longest, child.kill)
            end.start()
            address = next((line.split()[-1] for line in child.stderr if line.startswith("listening on ")), None)
            answered = bool(address) and self.is_answered(address)
            is_late = time.monotonic() - begin >= self.longest
            end.cancel()
            child.terminate()
            _, errors = child.communicate(timeout=60)
        finally:
            child.kill()
            child.wait()
        if is_late:
            return f"not done after {self.longest} s"
        return "works" if answered else words(child.returncode, errors)

    def is_answered(self, address):
        name = json.loads((self.package / "manifest.json").read_text(encoding="utf-8"))["name"]
        body = json.dumps({"model": name, "input": "a dog barking", "ualm": {"modality": "audio", "seed": 1}}).encode()
        request = urllib.request.Request(f"{address}/v1/audio/speech", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.longest) as answer:
                return len(answer.read()) > 1000
        except OSError:
            return False


def words(code, errors):
    """Words the result of a command for a table."""
    if code == 0:
        return "works"
    if code == -signal.SIGKILL:
        warned = any("too little memory" in line for line in errors.splitlines())
        return "killed by the system" + (", after a warning" if warned else "")
    return (errors.strip().splitlines() or [f"exit code {code}"])[-1].replace("|", "\\|")


def smallest(machine, command, step):
    """Returns the smallest limit in MiB, a multiple of `step`, with which the command works, with its seconds and its own memory."""
    low = 0
    high = 4096 // step
    found = None
    while high - low > 1:
        middle = (low + high) // 2
        outcome, seconds, own = machine.run(command, middle * step * MEBIBYTE)
        if outcome == "works":
            high = middle
            found = (middle * step, seconds, own)
        else:
            low = middle
    return found


def prepare(program, library, folder):
    """Makes recordings: half a second of a sound of the default package, its repetition for a minute, and its codes."""
    run = [program, "--library", library, "--model", DEFAULT]
    quiet = {"cwd": folder, "capture_output": True, "check": True}
    subprocess.run([*run, "generate", "a dog barking", "--seed", "1", "--no-take", "-o", "made.wav"], **quiet)
    with wave.open(f"{folder}/made.wav") as made:
        rate = made.getframerate()
        samples = made.readframes(made.getnframes())
    width = 2
    for name, seconds in (("short.wav", 0.5), ("long.wav", LONG)):
        with wave.open(f"{folder}/{name}", "wb") as file:
            file.setparams((1, width, rate, 0, "NONE", ""))
            wanted = int(seconds * rate) * width
            file.writeframes((samples * (wanted // len(samples) + 1))[:wanted])
    subprocess.run([*run, "codec", "encode", "long.wav", "-o", "long.npy"], **quiet)


def main():
    parser = argparse.ArgumentParser(description="Run the program with little memory.")
    parser.add_argument("packages", nargs="*", type=pathlib.Path, default=[DEFAULT], metavar="PACKAGE")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/ualm")
    parser.add_argument("--library", default=os.environ.get("ORT_DYLIB_PATH"), help="ONNX Runtime's library (default: ORT_DYLIB_PATH)")
    parser.add_argument("--mebibytes", type=int, nargs="+", default=[256, 512, 1024], help="limits (default: 256 512 1024)")
    parser.add_argument("--smallest", action="store_true", help="find the smallest limit instead, in steps of 4 MiB (large packages: 32)")
    parser.add_argument("--longest", type=int, default=60, help="maximum seconds of a command: with too little memory it reads the same files "
                        "again and again (default: %(default)s)")  # fmt: skip
    parser.add_argument("--only", metavar="PREFIX", help="only the commands that begin with PREFIX")
    arguments = parser.parse_args()
    if not arguments.library:
        parser.error("name ONNX Runtime's library with --library: scripts/fetch_onnxruntime.py prints its path")
    if not arguments.program.is_file():
        parser.error(f"there is no program at {arguments.program}: `make build` builds it")
    program = arguments.program.resolve()
    library = pathlib.Path(arguments.library).resolve()
    print("| package | command | memory | | seconds | its own, MiB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        prepare(program, library, folder)
        for package in arguments.packages:
            machine = Machine(program, library, package, folder, arguments.longest)
            for name, command in machine.commands().items():
                if arguments.only and not name.startswith(arguments.only):
                    continue
                try:
                    measure(machine, name, command, arguments)
                except OSError as error:
                    sys.exit(f"small_machines.py: cannot use a control group: {error}; run it as root, or with the right to make control groups")


def measure(machine, name, command, arguments):
    if arguments.smallest:
        found = smallest(machine, command, 32 if machine.is_large else 4)
        rows = [(f"{found[0]} MiB", "the smallest", *found[1:])] if found else []
    else:
        rows = [(f"{mebibytes} MiB", *machine.run(command, mebibytes * MEBIBYTE)) for mebibytes in arguments.mebibytes]
    for memory, outcome, seconds, own in rows:
        print(f"| {machine.package.name} | {name} | {memory} | {outcome} | {seconds:.2f} | {own:.0f} |", flush=True)


if __name__ == "__main__":
    main()
