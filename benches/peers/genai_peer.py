#!/usr/bin/env python3
"""onnxruntime-genai: steps of two sequences with the full head, and a prompt, on a package of its own model builder."""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime_genai as genai
from peer import CONTEXT, PREFILL, PROMPT, STEP, answers, median_milliseconds, serve

STEPS = 12


def generator(model, rows, length):
    """Creates a greedy generator of `rows` sequences with room for `length` positions."""
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(max_length=length, min_length=length, batch_size=rows, do_sample=False)
    return genai.Generator(model, parameters)


def ids(rows, length):
    return np.random.default_rng(0).integers(300, 150000, (rows, length)).astype(np.int32)


def measure_step(model):
    running = generator(model, 2, CONTEXT + 8 * STEPS)
    running.append_tokens(ids(2, CONTEXT))
    return median_milliseconds(lambda: [running.generate_next_token() for _ in range(STEPS)], 3, STEPS)


def measure_prefill(model):
    fresh = [generator(model, 1, PROMPT + 1) for _ in range(4)]
    return median_milliseconds(lambda: fresh.pop().append_tokens(ids(1, PROMPT)), 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder of onnxruntime_genai.models.builder")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    answering = answers()
    settings = arguments.folder / "genai_config.json"
    config = json.loads(settings.read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = arguments.threads
    settings.write_text(json.dumps(config, indent=1))
    model = genai.Model(str(arguments.folder))
    measures = {STEP: lambda: measure_step(model), PREFILL: lambda: measure_prefill(model)}
    serve(answering, f"onnxruntime-genai {genai.__version__}", measures)


if __name__ == "__main__":
    main()
