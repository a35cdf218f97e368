#!/usr/bin/env python3
"""Cuts a reference checkpoint and its answers down to what the repository's own tests need.

    python3 tests/tools/cut_reference.py REFERENCE OUT [--codec CLIP …] [--without CASE …] [--exchanges N …]

What inference never touches in the cases that are kept becomes zero, so that it deflates to nothing: rows
of the embedding never looked up, rows of the head that never win, codebook entries never chosen (these
become entries far from everything), the whole codec if no clip is kept, and the tensors that the exporter
has no use for. All else is rounded to 24 bits, and so are the answers of the trainer's code, which moves
them by about 1e-5. The logits of rows that were cut, or that their stream cannot choose, are zero.

The cut is then exported and held against the answers: tokens and codes must be equal, arrays within 1e-4.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import fixtures
from packed_weights import pack
from reference import Reference, report
from reply import Package, read_wav

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "export"))

from ualm_export.package import Options, export_package  # noqa: E402
from ualm_export.tensors import read_torch_zip  # noqa: E402

CODEC = "multimodal_io_dict.discrete_audio.codec_model."
FAR = 1000.0
CONFIGS = (
    "train.yaml", "llm/config.json", "llm/tokenizer.json", "codec/config.json",
    "encoder/config.json", "encoder/preprocessor_config.json",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codec", nargs="*", default=[], help="clips whose codes are kept")
    parser.add_argument("--without", nargs="*", default=[], help="cases to leave out")
    parser.add_argument("--exchanges", nargs="*", type=int, default=[0], help="interleaved replies to keep")
    arguments = parser.parse_args()
    cut(arguments.reference, arguments.out, arguments.codec, arguments.without, arguments.exchanges)
    return verify(arguments.out)


def cut(reference: Path, out: Path, clips: list[str], without: list[str], exchanges: list[int]) -> None:
    expected = json.loads((reference / "expected.json").read_text())
    expected["cases"] = [case for case in expected["cases"] if case["name"] not in without]
    if not clips:
        for case in expected["cases"]:
            case.pop("audio", None)
    expected["codec"] = [clip for clip in expected["codec"] if clip["file"] in clips]
    expected["interleaved"] = [expected["interleaved"][i] for i in exchanges]
    blocks = expected["vocab_intervals"]["discrete_audio"]
    used = used_ids(expected)
    codes = used_codes(reference, expected, blocks)
    vocabulary = blocks[-1][1]
    kept = np.zeros(vocabulary, bool)
    kept[sorted(used)] = True
    choosable = kept & choosable_columns(expected["vocab_intervals"])

    if out.exists():
        shutil.rmtree(out)
    for name in CONFIGS:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(reference / name, out / name)
    tensors = {name: tensor[...] for name, tensor in read_torch_zip(reference / "mp_rank_00_model_states.pt").items()}
    pack(
        out / "weights.npz",
        {name: cut_tensor(name, array, kept, codes, bool(clips)) for name, array in tensors.items()},
    )
    pack(out / "answers.npz", answers(reference, expected, choosable))
    (out / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    for name in sorted({case["data"]["audio"] for case in expected["cases"] if "audio" in case["data"]} | set(clips)):
        write_wav(out / name, read_wav(reference / name))


def used_ids(expected: dict) -> set[int]:
    """Returns every id that is looked up or wins, and the named special ids."""
    frames = [frame for case in expected["cases"] for frame in case["prompt_frames"] + case["tokens"]]
    for exchange in expected["interleaved"]:
        frames += exchange["prompt_frames"]
        frames += [frame for segment in exchange["segments"] for frame in segment["tokens"]]
    return {token for frame in frames for token in frame} | set(range(13))


def choosable_columns(intervals: dict) -> np.ndarray:
    """Returns a boolean [S, vocabulary]: special and text ids for stream 0, every stream's own block."""
    blocks = intervals["discrete_audio"]
    choosable = np.zeros((len(blocks), blocks[-1][1]), bool)
    for start, end in intervals["special_token"] + intervals["text"]:
        choosable[0, start:end] = True
    for stream, (start, end) in enumerate(blocks):
        choosable[stream, start:end] = True
    return choosable


def used_codes(reference: Path, expected: dict, blocks: list) -> list[set[int]]:
    """Returns, for every level, the entries that a kept answer decodes or encodes to."""
    codes = [{0} for _ in blocks]
    for case in expected["cases"]:
        for frame in case["tokens"]:
            for level, (token, (start, end)) in enumerate(zip(frame, blocks)):
                if start < token < end:
                    codes[level].add(token - start - 1)
    for clip in expected["codec"]:
        delayed = np.load(reference / f"codec.{clip['file'].removesuffix('.wav')}.codes.npy")
        for level, (start, _) in enumerate(blocks):
            column = delayed[:, level] - (start - blocks[0][0]) - 1
            codes[level] |= set(column[column >= 0].tolist())
    return codes


def cut_tensor(name: str, array: np.ndarray, kept: np.ndarray, codes: list[set[int]], with_codec: bool) -> np.ndarray:
    if name in ("model.embed_tokens.weight", "lm_head.weight"):
        return array * kept[:, None]
    if not name.startswith(CODEC):
        return array
    part = name[len(CODEC) :]
    if part.endswith(".codebook.embed"):
        entries = np.full_like(array, FAR)
        chosen = sorted(codes[int(part.split(".")[2])])
        entries[chosen] = array[chosen]
        return entries
    if part.startswith(("fc1.", "decoder_semantic.", "quantizer.")) or part == "semantic_model.masked_spec_embed":
        return np.zeros_like(array)
    if not with_codec and "parametrizations" not in part:  # a weight norm of zeros is not a number
        return np.zeros_like(array)
    return array


def answers(reference: Path, expected: dict, choosable: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays of the kept answers; features are those rows of the prompt embeddings."""
    arrays = {}
    for case in expected["cases"]:
        name = case["name"]
        arrays[f"{name}.prompt_embeds"] = np.load(reference / f"{name}.prompt_embeds.npy")
        arrays[f"{name}.next_logits"] = np.load(reference / f"{name}.next_logits.npy") * choosable
        if "audio" in case:
            arrays[f"{name}.audio"] = np.load(reference / f"{name}.audio.npy")
    for clip in expected["codec"]:
        stem = f"codec.{clip['file'].removesuffix('.wav')}"
        arrays |= {f"{stem}.{kind}": np.load(reference / f"{stem}.{kind}.npy") for kind in ("codes", "audio")}
    return arrays


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Writes a mono WAV, 16 kHz, 16 bits."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.rint(np.clip(samples * 32768.0, -32768, 32767)).astype("<i2").tobytes())


def verify(out: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, answers, package = (Path(folder) / name for name in ("checkpoint", "answers", "package"))
        fixtures.rebuild_checkpoint(out, checkpoint)
        fixtures.rebuild_answers(out, answers)
        export_package(checkpoint, package, Options())
        found = Reference(answers, Package(package)).check()
    return report(found.errors, found.mismatches, out)


if __name__ == "__main__":
    sys.exit(main())
