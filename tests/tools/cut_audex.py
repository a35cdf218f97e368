#!/usr/bin/env python3
"""Cuts an Audex reference checkpoint and its answers down to what the repository's own tests need.

    python3 tests/tools/cut_audex.py REFERENCE OUT

What the cases never touch becomes zero, so that it deflates to nothing: rows of the embedding never looked up, rows of the
head that come nowhere near winning (the winners' logits lie far above zero), codebook entries never chosen. What the exporter
has no use for is left out, and so are the codec symbols of the tokenizer, which are numbered. All other weights stay as they
are: X-codec's sound moves by more than 1e-4 when they are rounded to 24 bits, as the answers are.

Of these, logits are kept for the columns that stay (`logit_ids`), log-mels for the first frames of each window, rows of
features for every so many, as `kept` in expected.json says.

The cut is then exported and held against the answers: tokens and codes must be equal, arrays within 1e-4.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from audex_checkpoint import (
    AUDIOGEN, FULL, INDEX, SINGLE, SPEECH, SYMBOLS, XCODEC, rebuild_audex_answers, rebuild_audex_checkpoint,
)  # fmt: skip
from flat_reference import FlatReference
from flat_reply import FlatPackage
from packed_weights import pack
from reference import report

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "export"))

from ualm_export.package import Options, export_package  # noqa: E402
from ualm_export.tensors import read_safetensors, read_safetensors_index  # noqa: E402

CONFIGS = (
    "config.json", f"{FULL}/config.json", f"{FULL}/generation_config.json", f"{FULL}/chat_template.jinja",
    f"{FULL}/tokenizer_config.json", f"{FULL}/{INDEX}", f"{FULL}/audio_preprocessor/preprocessor_config.json",
    f"{AUDIOGEN}/config.json", f"{AUDIOGEN}/{INDEX}", f"{SPEECH}/config.json", f"{XCODEC}/config.json",
)  # fmt: skip
LIKELIEST = 250
"""Columns of each first step whose rows of the head stay: enough for what may be drawn, and for its probabilities."""
LEVELS = 4
KEPT = {"feature_frames": 40, "row_step": 15}
LOGITS = ("first_logits", "first_null_logits", "first_guided_logits", "first_masked_logits")
ARRAYS = (
    "prompt_ids", "null_ids", "tokens", "codes", "audio", "draw_ids", "draw_probabilities", "hidden_final", "features", "rows",
    *LOGITS,
)  # fmt: skip
PARTS = {
    "speech_decoder": ("codes", "audio"),
    "xcodec": ("codes", "audio_of_the_first_40_frames", "audio_of_all_head", "audio_of_all_tail"),
    "sound_parts": ("loud_features",),
}  # fmt: skip
DROPPED = ("versions", "speech_decoder")
NOTES = ("margins", "streaming", "smallest_margin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    cut(arguments.reference, arguments.out)
    return verify(arguments.out)


def cut(reference: Path, out: Path) -> None:
    if out.exists():
        shutil.rmtree(out)
    expected = json.loads((reference / "expected.json").read_text(encoding="utf-8"))
    answers = read_answers(reference, expected)
    for name in CONFIGS:
        (out / "checkpoint" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(reference / name, out / "checkpoint" / name)
    cut_tokenizer(reference / FULL, out / "checkpoint" / FULL, expected["vocabulary"])
    looked_up = used_ids(answers)
    columns = kept_columns(answers, expected["vocabulary"])
    pack(out / "weights.npz", cut_tensors(reference, looked_up, columns, used_codes(answers)), exact=True)
    pack(out / "answers.npz", cut_answers(answers, columns) | sounds(reference))
    for case in expected["cases"]:
        for note in NOTES:
            case.pop(note, None)
    content = {name: value for name, value in expected.items() if name not in DROPPED} | {"kept": KEPT}
    (out / "expected.json").write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def read_answers(reference: Path, expected: dict) -> dict[str, np.ndarray]:
    wanted = {case["name"]: ARRAYS for case in expected["cases"]} | PARTS
    answers = {}
    for stem, names in wanted.items():
        with np.load(reference / f"{stem}.npz") as arrays:
            answers |= {f"{stem}.{name}": arrays[name] for name in names if name in arrays.files}
    return answers


def cut_tokenizer(source: Path, out: Path, vocabulary: dict) -> None:
    """Writes tokenizer.json without its codec symbols."""
    content = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    symbols = {f"<{kind}_{i}>" for kind in SYMBOLS for i in range(vocabulary[kind][1] - vocabulary[kind][0])}
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in symbols]
    model = content["model"]
    model["vocab"] = {name: token for name, token in model["vocab"].items() if name not in symbols}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (out / "tokenizer.json").write_text(text + "\n", encoding="utf-8")


def used_ids(answers: dict) -> list[int]:
    """Returns every id that is looked up."""
    names = ("prompt_ids", "null_ids", "tokens")
    return sorted({int(token) for name, array in answers.items() if name.endswith(names) for token in array})


def kept_columns(answers: dict, vocabulary: dict) -> np.ndarray:
    """Returns the ids whose rows of the head are kept: text and markers, drawn ids, the likeliest ids of each first step."""
    columns = set(range(min(vocabulary[kind][0] for kind in SYMBOLS))) | set(vocabulary["eos"])
    for name, array in answers.items():
        if name.endswith(("tokens", "draw_ids")):
            columns |= set(array.tolist())
        elif name.endswith(LOGITS):
            columns |= set(np.argsort(array)[-LIKELIEST:].tolist())
    return np.array(sorted(columns), np.int32)


def used_codes(answers: dict) -> list[set[int]]:
    """Returns, for every level of X-codec, the entries that the answers decode."""
    codes = [array for name, array in answers.items() if name.endswith("codes") and array.ndim == 2]
    return [{0} | {int(code) for array in codes for code in array[level, :]} for level in range(LEVELS)]


def cut_tensors(reference: Path, looked_up: list[int], columns: np.ndarray, codes: list[set[int]]) -> dict[str, np.ndarray]:
    tensors = {f"{FULL}/{name}": tensor[...] for name, tensor in read_safetensors_index(reference / FULL / INDEX).items()}
    for name, rows in (("model.embed_tokens.weight", looked_up), ("lm_head.weight", columns)):
        tensors[f"{FULL}/{name}"] = only_rows(tensors[f"{FULL}/{name}"], rows)
    speech = read_safetensors(reference / SPEECH / SINGLE)
    tensors |= {f"{SPEECH}/{name}": tensor[...] for name, tensor in speech.items() if "wav_proj" not in name}
    for name, tensor in read_safetensors(reference / XCODEC / SINGLE).items():
        level = next((i for i in range(LEVELS) if name == f"quantizer.quantizers.{i}.codebook.embed"), None)
        if level is not None:
            tensors[f"{XCODEC}/{name}"] = only_rows(tensor[...], sorted(codes[level]))
        elif name.startswith(("acoustic_decoder.", "fc2.")):
            tensors[f"{XCODEC}/{name}"] = tensor[...]
    return tensors


def only_rows(array: np.ndarray, rows) -> np.ndarray:
    kept = np.zeros_like(array)
    kept[rows] = array[rows]
    return kept


def cut_answers(answers: dict, columns: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {"logit_ids": columns}
    for name, array in answers.items():
        if name.endswith(LOGITS):
            array = array[columns]
        elif name.endswith("features"):
            array = array[..., : KEPT["feature_frames"]]
        elif name.endswith(".rows"):
            array = array[:: KEPT["row_step"]]
        arrays[name] = array
    return arrays


def sounds(reference: Path) -> dict[str, np.ndarray]:
    """The files as they are, byte by byte."""
    return {path.name: np.frombuffer(path.read_bytes(), np.int8) for path in sorted(reference.glob("*.wav"))}


def verify(out: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, answers, package = (Path(folder) / name for name in ("checkpoint", "answers", "package"))
        rebuild_audex_checkpoint(out, checkpoint)
        rebuild_audex_answers(out, answers)
        export_package(checkpoint, package, Options(xcodec=checkpoint / XCODEC))
        found = FlatReference(answers, FlatPackage(package)).check()
    return report(found.errors, found.mismatches, out)


if __name__ == "__main__":
    sys.exit(main())
