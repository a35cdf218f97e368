#!/usr/bin/env python3
"""Shows a reply as it is made: words at once, and sound in chunks that a player could have by then.

    stream.py PROMPT OUT.wav [--modality audio|speech|text] [--seed N] [--model PACKAGE] [--provider NAMES]

Ctrl-C stops the reply; what was made until then is written.
"""
import argparse
import signal
import sys

import numpy as np
import ualm


def play(chunks, chunk):
    """Takes the next samples. A player would get them here."""
    chunks.append(chunk)
    seconds = sum(chunk.seconds for chunk in chunks)
    print(f"\r{seconds:.2f} s of sound", end="", file=sys.stderr)


def run(arguments):
    """Makes the reply; returns its sound, None if it has none."""
    chunks = []
    with ualm.Model(arguments.model, provider=arguments.provider) as model, ualm.Cancel() as cancel:
        signal.signal(signal.SIGINT, lambda *_: cancel.cancel())
        options = model.options(arguments.modality, seed=arguments.seed)
        options.stream_audio = True
        for event in model.session().stream(arguments.prompt, options, cancel=cancel):
            match event:
                case ualm.TextDelta(text=text):
                    print(text, end="", flush=True)
                case ualm.AudioChunk(audio=audio):
                    play(chunks, audio)
                case ualm.SegmentEnded(segment=segment):
                    print(f"\n{segment.modality} of {len(segment.frames)} frames: {segment.end}", file=sys.stderr)
    return ualm.Audio(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].rate) if chunks else None


def main():
    parser = argparse.ArgumentParser(description="Show a reply as it is made.")
    parser.add_argument("prompt")
    parser.add_argument("out")
    parser.add_argument("--modality", choices=["audio", "speech", "text"], default="audio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="folder of a package (default: the one that comes with ualm)")
    parser.add_argument("--provider", default="cpu", help="execution providers (docs/providers.md)")
    arguments = parser.parse_args()
    try:
        sound = run(arguments)
        if sound is not None:
            sound.write(arguments.out, format="float32")
            print(f"{arguments.out}: {sound.seconds:.2f} s")
    except ualm.Error as error:
        sys.exit(f"error ({error.status}): {error}")


if __name__ == "__main__":
    main()
