#!/usr/bin/env python3
"""Measures a package beside its peers, in turn (A B A B), and prints the ratios.

    python3 benches/peers/compare.py PACKAGE --size 0.5b

PACKAGE is one of export/random_package.py. PyTorch and onnxruntime-genai come from requirements.txt, pinned and hashed, into an
environment of their own; genai's package of the same size is built once, into --work. llama.cpp is compiled for the machine it is
measured on, so it needs an environment that has it:

    python3 -m venv llama && llama/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0
    python3 benches/peers/compare.py PACKAGE --parts steps prefill --llama-python llama/bin/python
"""

import argparse
import json
import os
import statistics
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


class Peer:
    """A process that measures on request (peer.py)."""

    def __init__(self, name, works, command):
        self.name, self.works = name, works
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def measure(self):
        return {work: float(self._ask(work)) for work in self.works}

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, work):
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"compare.py: {self.name} ended; its own words are above")
        return line.strip()


def ours(arguments, part):
    """The medians of `ualm bench`, by the name of the figure."""
    command = [
        arguments.program, "bench", arguments.package, "--json", "--only", part, "--runs", "3",
        "--context", CONTEXT, "--prompt", PROMPT, "--threads", arguments.threads,
    ]  # fmt: skip
    report = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)
    return {figure["name"]: figure["median"] for figure in report["figures"]}


def peers_of(arguments, part, python):
    torch = [python, HERE / "torch_peer.py", "--size", arguments.size, "--threads", arguments.threads, "--part", part]
    works = WORKS[part]
    if part == "steps":
        works = [STEP, STEP + SLICED]
    peers = [Peer("PyTorch", works, torch)]
    if part not in ("steps", "prefill"):
        return peers
    for precision in arguments.genai:
        folder = genai_package(arguments, precision, python)
        command = [python, HERE / "genai_peer.py", folder, "--threads", arguments.threads]
        peers.append(Peer(f"genai {precision}", WORKS[part], command))
    for precision in arguments.llama if arguments.llama_python else []:
        path = arguments.work / f"llama-{arguments.size}-{precision}.gguf"
        command = [arguments.llama_python, HERE / "llama_peer.py", path, "--size", arguments.size, "--precision", precision]
        peers.append(Peer(f"llama.cpp {precision}", WORKS[part], [*command, "--threads", arguments.threads]))
    return peers


def genai_package(arguments, precision, python):
    """The package of genai's own builder, from a checkpoint with random weights."""
    folder, checkpoint = arguments.work / f"genai-{arguments.size}-{precision}", arguments.work / f"hf-{arguments.size}"
    if not (folder / "genai_config.json").exists():
        if not (checkpoint / "tokenizer.json").exists():
            subprocess.run([python, HERE / "random_checkpoint.py", checkpoint, "--size", arguments.size], check=True)
        builder = ["-m", "onnxruntime_genai.models.builder", "-i", checkpoint, "-o", folder, "-p", precision, "-e", "cpu"]
        options = ["--extra_options", "int4_accuracy_level=4"] if precision == "int4" else []
        subprocess.run([python, *builder, "-c", arguments.work / "cache", *options], check=True)
    return folder


def compare(arguments, part, python):
    """Prints the medians over all rounds and how many times as long the peer takes."""
    peers = peers_of(arguments, part, python)
    own, others = [], [[] for _ in peers]
    for _ in range(arguments.rounds):
        own.append(ours(arguments, part))
        for peer, measured in zip(peers, others):
            measured.append(peer.measure())
    for peer, measured in zip(peers, others):
        peer.close()
        for work in peer.works:
            mine = statistics.median(figures[work.removesuffix(SLICED)] for figures in own)
            theirs = statistics.median(figures[work] for figures in measured)
            print(f"{work:<48} ualm {mine:9.1f} ms  {peer.name:<14} {theirs:9.1f} ms  {theirs / mine:5.2f} ×", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="package of export/random_package.py")
    parser.add_argument("--size", choices=["0.5b", "1.5b"], default="0.5b", help="that of the package; default: %(default)s")
    parser.add_argument("--parts", nargs="+", choices=WORKS, default=list(WORKS), help="default: all")
    parser.add_argument("--genai", nargs="*", default=["int4"], metavar="PRECISION", help="int4, fp32; default: int4")
    parser.add_argument("--llama", nargs="*", default=["Q4_0"], metavar="PRECISION", help="Q4_0, Q8_0, F32; default: Q4_0")
    parser.add_argument("--llama-python", type=Path, help="interpreter that has llama-cpp-python; without it llama.cpp is left out")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/ualm", help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=ROOT / "target/peers", help="where genai's packages go; default: %(default)s")
    parser.add_argument("--python", type=Path, help="interpreter that has requirements.txt; by default an environment made of it")
    arguments = parser.parse_args()
    python = arguments.python or environment()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        compare(arguments, part, python)


def environment():
    make = [sys.executable, ROOT / "scripts/python_environment.py", HERE / "requirements.txt"]
    return Path(subprocess.run(make, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


if __name__ == "__main__":
    main()
