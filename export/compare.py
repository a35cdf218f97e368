#!/usr/bin/env python3
"""Compares the logits and the audio features of two packages of one checkpoint, and counts the greedy choices that change.

    python3 export/compare.py REFERENCE PACKAGE [--form vnni]

Both packages get the same random prompts, then the reference's choices frame by frame, and the same synthesized sounds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from ualm_export.calibration.log_mel import encoder_inputs
from ualm_export.calibration.sounds import sounds
from ualm_export.errors import ExportError
from ualm_export.language_model import columns
from ualm_export.manifest import read
from ualm_export.row_forms import VARIANT

FORMS = {"vnni": VARIANT}
"""Forms that may be compared, by their names in the manifest."""
PREFILL = 32
"""Minimum prompt length, in positions, for the form for prompts. The runtime's is 64, longer than the prompts here."""


class Package:
    """The graphs from tokens to logits, and from sounds to features."""

    def __init__(self, folder: Path, form: str | None = None):
        """Loads the graphs; those of `form`, a section of the manifest's variants, replace the package's own."""
        self.manifest, _ = read(folder)
        self.heads = self.manifest["heads"]
        variants = self.manifest.get("variants", {})
        if form and form not in variants:
            raise ExportError(f"{folder} has no form {form}; it has {', '.join(variants) or 'none'}: leave --form out")
        files = self.manifest["graphs"] | variants.get(form, {})
        names = ("embed", "llm", "prefill", *self.heads, "audio_encoder")
        self._graphs = {name: session_of(folder / files[name]) for name in names if name in files}

    def features(self, samples: np.ndarray) -> np.ndarray:
        """Computes the audio encoder's features [rows, H] of samples at its rate."""
        mel, lengths = encoder_inputs(self.manifest["audio_encoder"], samples)
        features, counts = self._run("audio_encoder", input_features=mel, feature_lengths=lengths)
        return np.concatenate([rows[:count] for rows, count in zip(features, counts)])

    def _run_body(self, positions: int, **inputs: np.ndarray) -> list[np.ndarray]:
        """Runs the language model, with the form for prompts if the runtime would use it."""
        return self._run("prefill" if positions >= PREFILL and "prefill" in self._graphs else "llm", **inputs)

    def _run(self, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return self._graphs[graph].run(None, inputs)

    def books(self, modality: str) -> list[slice]:
        """Returns the columns of the modality's head for each of its books."""
        modality = self.manifest["modalities"][modality]
        return [columns(self.heads[modality["head"]], book) for book in modality["books"]]

    def sequence(self, capacity: int) -> "Sequence":
        return Sequence(self, capacity)


def session_of(path: Path) -> onnxruntime.InferenceSession:
    """Creates a session in which signed bytes do not overflow on a processor without VNNI."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Sequence:
    """A sequence and its cache."""

    def __init__(self, package: Package, capacity: int):
        (state,) = package.manifest["language_model"]["state"]
        shape = (1, state["heads"], capacity, state["head_size"])
        self._package = package
        self._position = 0
        self._cache = {
            f"past_key_values.{layer}.{part}": np.zeros(shape, np.float32)
            for layer in range(state["layers"]) for part in ("key", "value")
        }  # fmt: skip

    def run(self, frames: np.ndarray) -> dict[str, list[np.ndarray]]:
        """Appends `frames` [T, S]; returns the logits of every modality's books after the last of them."""
        package = self._package
        self._position += len(frames)
        (embeddings,) = package._run("embed", input_ids=frames[None].astype(np.int64))
        hidden, *present = package._run_body(
            len(frames), inputs_embeds=embeddings, seqlens_k=np.array([self._position - 1], np.int32),
            total_sequence_length=np.array(self._position, np.int32), **self._cache,
        )  # fmt: skip
        self._cache = dict(zip(self._cache, present))
        logits = {head: package._run(head, hidden_states=hidden[:, -1])[0][0] for head in package.heads}
        return {
            name: [logits[modality["head"]][book] for book in package.books(name)]
            for name, modality in package.manifest["modalities"].items()
        }


class Distance:
    """Collects the distances of logits, and the share of equal choices."""

    def __init__(self):
        self.errors = []
        self.same = 0
        self.choices = 0

    def add(self, expected: list[np.ndarray], found: list[np.ndarray]) -> None:
        """Adds the logits of one position, book by book."""
        whole = np.concatenate(expected)
        self.errors.append(np.linalg.norm(np.concatenate(found) - whole) / np.linalg.norm(whole))
        self.same += sum(one.argmax() == other.argmax() for one, other in zip(expected, found))
        self.choices += len(expected)

    def line(self, modality: str) -> str:
        return (
            f"{modality:<8} error {100 * np.mean(self.errors):6.2f} % of the logits' norm, at most {100 * max(self.errors):6.2f} %; "
            f"{100 * self.same / self.choices:6.2f} % of {self.choices} greedy choices the same"
        )


def books_by_modality(package: Package) -> dict[str, list[list[int]]]:
    return {name: modality["books"] for name, modality in package.manifest["modalities"].items()}


def compare(reference: Package, package: Package, prompts: int, length: int, steps: int, seed: int) -> dict[str, Distance]:
    """Runs both packages on the same random prompts and the reference's choices; returns the distances by modality."""
    tokens = reference.manifest["tokens"]
    modalities = reference.manifest["modalities"]
    name, followed = max(modalities.items(), key=lambda item: len(item[1]["books"]))
    generator = np.random.default_rng(seed)
    distances = {modality: Distance() for modality in modalities}
    for _ in range(prompts):
        pair = [one.sequence(length + steps) for one in (reference, package)]
        frames = np.full((length, tokens["width"]), tokens.get("pad", 0), np.int64)
        frames[:, 0] = generator.integers(*tokens["text"]["ids"], length)
        for step in range(steps):
            expected, found = (sequence.run(frames) for sequence in pair)
            for modality, distance in distances.items():
                distance.add(expected[modality], found[modality])
            chosen = [logits.argmax() for logits in expected[name]]
            frames = np.full((1, tokens["width"]), tokens.get("pad", 0), np.int64)
            ids = np.add([start for start, _ in followed["books"]], chosen)
            if followed["pattern"] == "delayed":
                frames[0, : len(ids)] = ids
            else:
                frames[0, 0] = ids[step % len(ids)]
    return distances


def features_apart(reference: Package, package: Package, seconds: float = 4.0) -> list[float]:
    """Returns the distances of the features of synthesized sounds, relative to their norm; calibration uses other sounds."""
    pairs = [(reference.features(samples), package.features(samples)) for samples in sounds(seconds, seed=12)]
    return [float(np.linalg.norm(found - expected) / np.linalg.norm(expected)) for expected, found in pairs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, help="package to compare with, of float weights")
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompts", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--length", type=int, default=32, help="positions of a prompt; default: %(default)s")
    parser.add_argument("--steps", type=int, default=32, help="steps after each prompt; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--form", choices=FORMS, help="of the package's graphs, instead of those that every processor runs")
    arguments = parser.parse_args()
    for name in ("prompts", "length", "steps"):
        if getattr(arguments, name) < 1:
            parser.error(f"argument --{name}: {getattr(arguments, name)} is not a count; expected a whole number, 1 or more")
    try:
        packages = [Package(arguments.reference), Package(arguments.package, FORMS.get(arguments.form))]
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    expected, found = ((one.manifest["tokens"], books_by_modality(one)) for one in packages)
    if expected != found:
        print(f"error: expected two packages of one checkpoint, but the tokens of one are {expected} and of the other {found}", file=sys.stderr)
        return 1
    reference, package = packages
    distances = compare(reference, package, arguments.prompts, arguments.length, arguments.steps, arguments.seed)
    for modality, distance in distances.items():
        print(distance.line(modality))
    if "audio_encoder" in reference.manifest:
        apart = features_apart(reference, package)
        print(f"features error {100 * np.mean(apart):6.2f} % of their norm, at most {100 * max(apart):6.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
