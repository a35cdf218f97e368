"""What a peer's process does: it says its version, reads names of work, one a line, and answers each with the milliseconds it took."""

import os
import statistics
import sys
import time

CONTEXT = 128  # positions before the steps that are measured
PROMPT = 512  # positions of the prompt that is measured
STEP = f"audio step, guidance, context {CONTEXT}"
PREFILL = f"prefill of {PROMPT}"
SLICED = ", sliced head"
"""PyTorch's step with each stream's own rows of the head, which the published code does not have."""


def answers():
    """The file of the answers. What libraries print goes to standard error instead; to be called before they are used."""
    file = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return file


def median_milliseconds(work, runs, each=1):
    """Median over `runs` runs, after one that does not count, of one of the `each` repetitions that a run holds."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3 / each)
    return statistics.median(times)


def serve(answers, version, measures):
    """Answers until standard input ends. `measures` maps names of work to functions that give milliseconds."""
    print(version, file=answers, flush=True)
    for line in sys.stdin:
        print(measures[line.strip()](), file=answers, flush=True)
