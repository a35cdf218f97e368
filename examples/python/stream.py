#!/usr/bin/env python3
"""Shows a reply while it is generated: text immediately, and sound in chunks that a player could already play.

    stream.py PROMPT OUT.wav [--modality audio|speech|text] [--seed N] [--model PACKAGE] [--provider NAMES]

Ctrl-C stops the reply; the part made so far is written.
"""
import argparse
import signal
import sys

import numpy as np
import ualm


def play(chunks, chunk):
    """Receives the next samples, which a player would play."""
    chunks.append(chunk)
    seconds = sum(chunk.seconds for chunk in chunks)
    print(f"\r{seconds:.2f} s of sound", end="", file=sys.stderr)


def run(arguments):
    """Generates the reply; returns its sound, `None` if it has none."""
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
                    print(f"\n{segment.modality} of {len(segment.frames)} positions: {segment.end}", file=sys.stderr)
    return ualm.Audio(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].rate) if chunks else None


def main():
    parser = argparse.ArgumentParser(description="Show a reply while it is generated.")
    parser.add_argument("prompt")
    parser.add_argument("out")
    parser.add_argument("--modality", choices=["audio", "speech", "text"], default="audio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="package folder (default: the bundled package)")
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
