#!/usr/bin/env python3
"""Measures packages and their peers in turn (A B A B), and prints one Markdown table.

    python3 benches/peers/compare.py PACKAGE ... --size 0.5b --json RESULTS.json

The packages are made by export/random_package.py, one for each precision. Everything else is made here, once: PyTorch and
onnxruntime-genai from requirements.txt, and llama.cpp from llama.txt and llama-source.txt, pinned and hashed, in environments of their
own; genai's package and llama.cpp's file, with random weights of the same size, in --work. llama.cpp is compiled on this machine. The
peers' output goes to files below --work; a failing peer is named with its file, and the others continue.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from contestants import ROOT, TORCH, WORKS, Failed, Package, starters_of
from results import Results, as_json, table

PEERS = {"torch": "PyTorch", "genai": "onnxruntime-genai", "llama.cpp": "llama.cpp"}


class Comparison:
    """The rounds of all parts."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.packages = [Package(arguments, folder) for folder in arguments.packages]
        self.results = Results()
        self.versions = {}
        self.failures = []

    def measure(self, part, starters):
        """Measures the packages and the peers of `starters`, one after another in each round."""
        contestants = [*self.packages, *filter(None, map(self.started, starters.values()))]
        for _ in range(self.arguments.rounds):
            for contestant in list(contestants):
                try:
                    self.results.add(contestant.name, contestant.measure(part))
                except Failed as failure:
                    self.note(failure)
                    contestants.remove(contestant)
                    contestant.close()
        for contestant in contestants:
            self.versions[contestant.name] = contestant.version
            contestant.close()

    def started(self, start):
        try:
            return start()
        except Failed as failure:
            self.note(failure)
            return None

    def note(self, failure):
        self.failures.append(str(failure))
        print(f"compare.py: {failure}", file=sys.stderr, flush=True)

    def table(self):
        return table(self.results, self.ours())

    def json(self):
        arguments = self.arguments
        settings = {"size": arguments.size, "threads": arguments.threads, "rounds": arguments.rounds}
        bench = {package.name: package.report for package in self.packages}
        return as_json(self.results, self.ours(), settings, self.versions, bench, self.failures)

    def ours(self):
        return [package.name for package in self.packages]


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE", help="package made by export/random_package.py")
    parser.add_argument("--size", choices=["0.5b", "1.5b"], default="0.5b", help="size of the packages; default: %(default)s")
    parser.add_argument("--parts", nargs="+", choices=WORKS, default=list(WORKS), help="default: all")
    parser.add_argument("--without", nargs="+", choices=PEERS, default=[], metavar="PEER", help=f"skip peers: {', '.join(PEERS)}")
    parser.add_argument("--torch", nargs="+", default=list(TORCH), choices=TORCH, help="default: all")
    parser.add_argument("--genai", nargs="+", default=["int4", "int8"], metavar="PRECISION", help="default: int4 int8")
    parser.add_argument("--llama", nargs="+", default=["Q4_0", "Q8_0"], metavar="PRECISION", help="Q4_0, Q8_0, F32; default: Q4_0 Q8_0")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/ualm", help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=ROOT / "target/peers", help="folder for models and logs; default: %(default)s")
    parser.add_argument("--python", type=Path, help="interpreter with requirements.txt installed (default: an environment made for it)")
    parser.add_argument("--llama-python", type=Path, help="interpreter with llama-cpp-python (default: likewise)")
    arguments = parser.parse_args()
    for peer in arguments.without:
        setattr(arguments, peer.partition(".")[0], [])
    precisions = [json.loads((folder / "manifest.json").read_text())["precision"] for folder in arguments.packages]
    if len(set(precisions)) < len(precisions):
        parser.error(f"two packages of one precision ({', '.join(precisions)}); expected one of each")
    return arguments


def main():
    arguments = parsed()
    comparison = Comparison(arguments)
    for part in arguments.parts:
        comparison.measure(part, starters_of(arguments, part))
    print(comparison.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(comparison.json(), indent=1) + "\n")
    if comparison.failures:
        sys.exit("compare.py: some measurements failed: " + "; ".join(comparison.failures))


if __name__ == "__main__":
    main()
