"""The protocol of a peer's process: it prints its version, reads names of work, one a line, and answers each with milliseconds."""

import os
import statistics
import sys
import time

CONTEXT = 128  # positions before the measured steps
PROMPT = 512  # positions of the measured prompt
STEP = f"audio step, guidance, context {CONTEXT}"
PREFILL = f"prefill of {PROMPT}"
SLICED = ", sliced head"
"""PyTorch's step with each stream's own rows of the head, which the published code does not have."""


def answers():
    """Returns the file of the answers and redirects the libraries' output to standard error; called before libraries are used."""
    file = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return file


def median_milliseconds(work, runs, each=1):
    """Returns the median over `runs` runs, after a warm-up, of one of the `each` repetitions in a run."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3 / each)
    return statistics.median(times)


def serve(answers, version, measures):
    """Answers until standard input ends. `measures` maps names of work to functions that return milliseconds."""
    print(version, file=answers, flush=True)
    for line in sys.stdin:
        print(measures[line.strip()](), file=answers, flush=True)
