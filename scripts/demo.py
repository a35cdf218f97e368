#!/usr/bin/env python3
"""Demonstrates ualm: makes a scene, shows it, asks about it, and speaks and transcribes digits, with the commands that a user would type.
Sounds are played if standard output is a terminal and the system can play them. Needs Python 3.10 or later.
"""
import argparse
import pathlib
import shlex
import subprocess
import sys
import time


class Demo:
    """Runs commands of the program and prints each before it runs."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.play = ["--play"] if sys.stdout.isatty() else []

    def run(self, *arguments, captured=False):
        """Runs a command; returns its standard output if `captured`; ends the demo if it fails."""
        print(f"\n$ ualm {shlex.join(arguments)}", flush=True)
        done = subprocess.run([self.program, *arguments], stdout=subprocess.PIPE if captured else None, check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)
        said = done.stdout.decode(errors="replace").strip() if captured else ""
        if captured:
            show(said)
        return said

    def path(self, name):
        return str(self.folder / name)


def show(text):
    """Prints another program's output, also on a terminal with fewer characters."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, errors="replace").decode(encoding), flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("program")
    options.add_argument("folder", type=pathlib.Path, help="folder for the sounds")
    options.add_argument("--prompt", required=True)
    options.add_argument("--digits", required=True)
    options.add_argument("--seed", required=True)
    asked = options.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    demo = Demo(asked.program, asked.folder)
    scene = demo.path("scene.wav")
    digits = demo.path("digits.wav")
    begun = time.monotonic()

    print("1. Sound from a description, and its spectrogram")
    demo.run("generate", asked.prompt, "-o", scene, "--seed", asked.seed)
    demo.run("show", scene, *demo.play)
    print("\n2. An answer about the sound")
    heard = demo.run("ask", scene, captured=True)
    print("\n3. Speech from text, and text from speech")
    demo.run("speak", asked.digits, "-o", digits, "--seed", asked.seed, *demo.play)
    read = demo.run("transcribe", digits, captured=True)

    show(f"\nYou asked for        {asked.prompt}\nThe model answered   {heard}")
    if read.lower().split() == asked.digits.lower().split():
        show(f"You had it speak     {asked.digits}\nand it transcribed the same.")
    else:
        show(f"You had it speak     {asked.digits}\nIt transcribed       {read}\nThat differs: this small model slurs some digits (onnx/default/README.md has the figures).")
    print(f"The sounds are in {asked.folder}; all of it took {time.monotonic() - begun:.1f} s.")
    program = shlex.quote(asked.program)
    show(f"""
Try next:
  {program} generate "a rooster crowing, then a car horn" -o morning.wav --show
  {program} reason "a dog, then rain" -o chain --reflect      # plan, draft, critique, final
  {program} serve                                             # everything in your browser""")


if __name__ == "__main__":
    main()
