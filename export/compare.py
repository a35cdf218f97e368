#!/usr/bin/env python3
"""Says how far the logits of a package are from those of another one of the same checkpoint, and how many greedy choices change.

    python3 export/compare.py REFERENCE PACKAGE

Both are given the same random prompts, after which both are given what the reference chooses, frame by frame.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

_GRAPHS = ("embed", "llm", "text_head", "audio_head")


class Package:
    """The graphs that words to tokens need."""

    def __init__(self, folder: Path):
        self.manifest = json.loads((folder / "manifest.json").read_text())
        files = self.manifest["graphs"]
        self._graphs = {
            name: onnxruntime.InferenceSession(folder / files[name], providers=["CPUExecutionProvider"])
            for name in _GRAPHS if name in files
        }  # fmt: skip

    def _run(self, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return self._graphs[graph].run(None, inputs)

    def heads(self) -> list[str]:
        return [name for name in ("text_head", "audio_head") if name in self._graphs]

    def sequence(self, capacity: int) -> "Sequence":
        return Sequence(self, capacity)


class Sequence:
    """A sequence and its cache."""

    def __init__(self, package: Package, capacity: int):
        sizes = package.manifest["language_model"]
        shape = (1, sizes["num_key_value_heads"], capacity, sizes["head_dim"])
        self._package, self._position = package, 0
        self._cache = {
            f"past_key_values.{layer}.{part}": np.zeros(shape, np.float32)
            for layer in range(sizes["num_hidden_layers"]) for part in ("key", "value")
        }  # fmt: skip

    def run(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Appends `frames` [T, S]; gives the logits of every head at the last of them."""
        package = self._package
        self._position += len(frames)
        (embeddings,) = package._run("embed", input_ids=frames[None].astype(np.int64))
        hidden, *present = package._run(
            "llm", inputs_embeds=embeddings, seqlens_k=np.array([self._position - 1], np.int32),
            total_sequence_length=np.array(self._position, np.int32), **self._cache,
        )  # fmt: skip
        self._cache = dict(zip(self._cache, present))
        return {head: package._run(head, hidden_states=hidden[:, -1])[0][0] for head in package.heads()}


class Distance:
    """Collects how far logits are apart, and how many choices agree."""

    def __init__(self):
        self.errors, self.same, self.choices = [], 0, 0

    def add(self, expected: np.ndarray, found: np.ndarray, blocks: list[slice]):
        self.errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        for block in blocks:
            self.same += expected[block].argmax() == found[block].argmax()
            self.choices += 1

    def line(self, head: str) -> str:
        return (
            f"{head:<11} error {100 * np.mean(self.errors):6.2f} % of the logits' norm, at most {100 * max(self.errors):6.2f} %; "
            f"{100 * self.same / self.choices:6.2f} % of {self.choices} greedy choices the same"
        )


def compare(reference: Package, package: Package, prompts: int, length: int, steps: int, seed: int) -> dict[str, Distance]:
    vocabulary = reference.manifest["vocabulary"]
    text, streams = vocabulary["text"], vocabulary["streams"]
    starts = [start for start, _ in vocabulary["audio"]]
    ends = np.cumsum([0] + [end - start for start, end in vocabulary["audio"]])
    blocks = {
        "text_head": [slice(*text)],
        "audio_head": [slice(start, end) for start, end in zip(ends, ends[1:])],
    }
    generator = np.random.default_rng(seed)
    distances = {head: Distance() for head in reference.heads()}
    for _ in range(prompts):
        pair = [one.sequence(length + steps) for one in (reference, package)]
        frames = np.zeros((length, streams), np.int64)
        frames[:, 0] = generator.integers(*text, length)
        for _ in range(steps):
            expected, found = (sequence.run(frames) for sequence in pair)
            for head, distance in distances.items():
                distance.add(expected[head], found[head], blocks[head])
            frames = np.zeros((1, streams), np.int64)
            if "audio_head" in expected:
                chosen = [expected["audio_head"][block].argmax() for block in blocks["audio_head"]]
                frames[0] = np.add(starts, chosen)
            else:
                frames[0, 0] = text[0] + expected["text_head"][blocks["text_head"][0]].argmax()
    return distances


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, help="package to compare with, of float weights")
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompts", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--length", type=int, default=32, help="frames of a prompt; default: %(default)s")
    parser.add_argument("--steps", type=int, default=32, help="frames after it; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args()
    packages = [Package(folder) for folder in (arguments.reference, arguments.package)]
    if packages[0].manifest["vocabulary"] != packages[1].manifest["vocabulary"]:
        print("error: the packages have different vocabularies; expected two of one checkpoint", file=sys.stderr)
        return 1
    distances = compare(*packages, arguments.prompts, arguments.length, arguments.steps, arguments.seed)
    for head, distance in distances.items():
        print(distance.line(head))
    return 0


if __name__ == "__main__":
    sys.exit(main())
