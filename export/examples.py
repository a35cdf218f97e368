#!/usr/bin/env python3
"""Makes docs/examples.md and its spectrograms: a package's results for some prompts, greedy and with seeds.

    python3 export/examples.py PACKAGE [--out docs]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ["a telephone ringing", "sea waves", "a car horn, then glass breaking"]
SPOKEN = "seven three"
QUESTION = "What do you hear?"
# name of the variant and its flags
VARIANTS = {"greedy": ["--temperature", "0", "--seed", "0"], "seed 1": ["--seed", "1"]}


def ualm(program: Path, package: Path, *arguments: str | Path) -> str:
    """Runs the program and returns its output."""
    command = [program, *map(str, arguments), "--model", package, "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"examples: {program} does not run: {error.strerror}; `make build` makes target/release/ualm, --program names another")
    if done.returncode:
        sys.exit(f"examples: {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


def picture_name(prompt: str, variant: str) -> str:
    return "-".join(f"{prompt} {variant}".replace(",", "").split()) + ".png"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "ualm")
    options = parser.parse_args()
    pictures = options.out / "examples"
    pictures.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Examples of the default package",
        "",
        "For those who want to see what the default package generates.",
        "",
        f"Made by `python3 export/examples.py onnx/default`, without any selection. Under each picture: the package's own answer to *{QUESTION}*",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wav"
        for command, ask, prompt in [*(("generate", "ask", p) for p in PROMPTS), ("speak", "transcribe", SPOKEN)]:
            lines += [f"## `ualm {command} {json.dumps(prompt)}`", "", f"| {' | '.join(VARIANTS)} |", "|---" * len(VARIANTS) + "|"]
            cells = []
            answers = []
            for variant, flags in VARIANTS.items():
                picture = pictures / picture_name(prompt, variant)
                ualm(options.program, options.package, command, prompt, "-o", sound, "--spectrogram", picture, *flags)
                cells.append(f"![spectrogram](examples/{picture.name})")
                answers.append(ualm(options.program, options.package, ask, sound, *([QUESTION] if ask == "ask" else [])))
            lines += [f"| {' | '.join(cells)} |", f"| {' | '.join(answers)} |", ""]
    (options.out / "examples.md").write_text("\n".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
