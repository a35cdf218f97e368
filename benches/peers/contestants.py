"""The contestants: packages of this project, measured by `ualm bench`, and peers, each in its own process."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from peer import CONTEXT, PREFILL, PROMPT, SLICED, STEP

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

WORKS = {
    "steps": [STEP],
    "prefill": [PREFILL],
    "codec": ["codec encode 10 s", "codec decode 10 s"],
    "encoder": ["listening to 30 s"],
}
TORCH = {"fp32": "PyTorch fp32", "bfloat16": "PyTorch bfloat16"}


class Failed(Exception):
    """A contestant that cannot be measured: its name, and the file of its output."""

    def __init__(self, name, log):
        super().__init__(f"{name} failed; its output is in {log}")


@contextlib.contextmanager
def log_of(arguments, name, part):
    """Opens the file for the output of `name`."""
    folder = arguments.work / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '-').lower()}-{part}.log"
    with path.open("w") as log:
        yield log


def run_logged(arguments, name, part, command):
    """Runs a command that prepares `name` and returns its output."""
    with log_of(arguments, name, part) as log:
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True, check=False)
        log.write(done.stdout)
        if done.returncode != 0:
            raise Failed(name, log.name)
    return done.stdout


class Package:
    """A package of this project."""

    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder
        self.name = f"ualm {json.loads((folder / 'manifest.json').read_text())['precision']}"
        self.version = None
        self.report = {}

    def measure(self, part):
        """Returns the medians of `ualm bench`, by the name of the work; the first call also measures the machine's peak."""
        options = ["--no-limits"] if part in self.report else []
        command = [
            self.arguments.program, "bench", self.folder, "--json", "--only", part, "--runs", 3,
            "--context", CONTEXT, "--prompt", PROMPT, "--threads", self.arguments.threads, *options,
        ]  # fmt: skip
        report = json.loads(run_logged(self.arguments, self.name, part, command))
        self.report.setdefault(part, report)
        self.version = report["library"]
        return {figure["name"]: figure["median"] for figure in report["figures"] if figure["name"] in WORKS[part]}

    def close(self):
        pass


class Peer:
    """A process that measures on request (peer.py)."""

    def __init__(self, arguments, name, part, command, works):
        self.name = name
        self.works = works
        with log_of(arguments, name, part) as log:
            self.log = log.name
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, stderr=log, text=True)
        try:
            self.version = self._answer()
        except Failed:
            self.close()
            raise

    def measure(self, _part):
        return {work: float(self._ask(work)) for work in self.works}

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _ask(self, work):
        try:
            self.process.stdin.write(work + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(self.name, self.log) from error
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.name, self.log)
        return line.strip()


def starters_of(arguments, part):
    """Returns the name and a start function of each peer of `part`."""
    starters = {}
    for precision in arguments.torch:
        starters[TORCH[precision]] = lambda precision=precision: torch(arguments, precision, part)
    if part in ("steps", "prefill"):
        for precision in arguments.genai:
            starters[f"genai {precision}"] = lambda precision=precision: genai(arguments, precision, part)
        for precision in arguments.llama:
            starters[f"llama.cpp {precision}"] = lambda precision=precision: llama(arguments, precision, part)
    return starters


def torch(arguments, precision, part):
    command = [environment(arguments), HERE / "torch_peer.py", "--size", arguments.size, "--threads", arguments.threads]
    works = [STEP, STEP + SLICED] if part == "steps" else WORKS[part]
    return Peer(arguments, TORCH[precision], part, [*command, "--part", part, "--precision", precision], works)


def genai(arguments, precision, part):
    """Starts onnxruntime-genai with a package of its own builder, made once from a checkpoint with random weights."""
    name = f"genai {precision}"
    python = environment(arguments)
    folder = arguments.work / f"genai-{arguments.size}-{precision}"
    checkpoint = arguments.work / f"hf-{arguments.size}"
    if not (folder / "genai_config.json").exists():
        if not (checkpoint / "tokenizer.json").exists():
            say(f"writing a checkpoint of {arguments.size} with random weights")
            run_logged(arguments, name, "checkpoint", [python, HERE / "random_checkpoint.py", checkpoint, "--size", arguments.size])
        say(f"building the package of {name}")
        builder = ["-m", "onnxruntime_genai.models.builder", "-i", checkpoint, "-o", folder, "-p", precision, "-e", "cpu"]
        # integer products of 8 bits, as in packages of this project
        options = [] if precision == "fp32" else ["--extra_options", "int4_accuracy_level=4"]
        run_logged(arguments, name, "builder", [python, *builder, "-c", arguments.work / "cache", *options])
    return Peer(arguments, name, part, [python, HERE / "genai_peer.py", folder, "--threads", arguments.threads], WORKS[part])


def llama(arguments, precision, part):
    """Starts llama.cpp, compiled once for this machine, with a file of random weights that the peer writes."""
    path = arguments.work / f"llama-{arguments.size}-{precision}.gguf"
    command = [llama_environment(arguments), HERE / "llama_peer.py", path, "--size", arguments.size, "--precision", precision]
    return Peer(arguments, f"llama.cpp {precision}", part, [*command, "--threads", arguments.threads], WORKS[part])


def environment(arguments):
    if not arguments.python:
        say("preparing PyTorch and onnxruntime-genai (the first time about 6 GB are fetched and unpacked)")
        arguments.python = python_environment(arguments, "PyTorch", HERE / "requirements.txt")
    return arguments.python


def llama_environment(arguments):
    if not arguments.llama_python:
        say("preparing llama.cpp (the first time it is compiled for this machine, about ten minutes on two cores)")
        source = ["--source", HERE / "llama-source.txt"]
        arguments.llama_python = python_environment(arguments, "llama.cpp", HERE / "llama.txt", *source)
    return arguments.llama_python


def python_environment(arguments, name, *files):
    make = [sys.executable, ROOT / "scripts/python_environment.py", *files]
    return Path(run_logged(arguments, name, "environment", make).strip())


def say(what):
    print(f"compare.py: {what}", file=sys.stderr, flush=True)
