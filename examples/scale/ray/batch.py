#!/usr/bin/env python3
"""Answers a file of requests (docs/batch.md) in shards, as tasks of Ray Data, and merges the results.

Exit codes are those of `ualm batch`: 0 all requests are answered, 1 some failed, 2 usage error.
"""
import argparse
import shutil
import subprocess
import sys

import ray


class Failed(Exception):
    """A shard that the program could not process; another attempt may succeed."""


def answer(row, *, program, requests, out, shards, threads):
    """Runs one shard; returns its row with the exit code."""
    command = [program, "batch", requests, "--out", out, "--shard", f"{row['id'] + 1}/{shards}", "--threads", str(threads), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 2):
        raise Failed(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr}")
    return {"shard": row["id"] + 1, "code": done.returncode, "errors": done.stderr}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("requests")
    parser.add_argument("out")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="threads of a shard, and processors requested from Ray (default: %(default)s)")
    parser.add_argument("--program", default="ualm")
    arguments = parser.parse_args()
    for name in ("shards", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"argument --{name}: {getattr(arguments, name)} is not a count; expected a whole number, 1 or more")
    if not shutil.which(arguments.program):
        parser.error(f"argument --program: there is no program {arguments.program!r} on this machine; every node needs it")
    ray.data.DataContext.get_current().max_errored_blocks = 0
    done = ray.data.range(arguments.shards, override_num_blocks=arguments.shards).map(
        answer,
        fn_kwargs={key: getattr(arguments, key) for key in ("program", "requests", "out", "shards", "threads")},
        num_cpus=arguments.threads,
        max_retries=3,
        retry_exceptions=[Failed],
    ).take_all()
    for row in sorted(done, key=lambda row: row["shard"]):
        print(f"shard {row['shard']}: {row['code']}", row["errors"].strip())
    code = max(row["code"] for row in done)
    if code == 2:
        return 2
    merged = subprocess.run([arguments.program, "batch", "merge", arguments.requests, "--out", arguments.out], check=False)
    return merged.returncode or code


if __name__ == "__main__":
    sys.exit(main())
