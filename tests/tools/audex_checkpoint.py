"""Restores a cut Audex checkpoint and its answers to their published form."""

import json
import shutil
from pathlib import Path

import numpy as np

from checkpoint_writer import write_safetensors
from packed_weights import unpack

FULL = "checkpoint_folder_full"
AUDIOGEN = "checkpoint_folder_audiogen"
SPEECH = "audex_causal_speech_decoder"
XCODEC = "xcodec"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SYMBOLS = ("speechcodec", "audiocodec")
SHARED_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
"""Files that the folder for audio generation has as well."""


def rebuild_audex_checkpoint(cut: Path, out: Path) -> None:
    """Writes the repository's folders, with X-codec's beside them; weights are in bfloat16 and float32, as the index says."""
    shutil.copytree(cut / "checkpoint", out)
    expected = json.loads((cut / "expected.json").read_text(encoding="utf-8"))
    tensors = unpack(cut / "weights.npz")
    full = out / FULL
    content = json.loads((full / "tokenizer.json").read_text(encoding="utf-8"))
    add_symbols(content, {kind: expected["vocabulary"][kind] for kind in SYMBOLS})
    (full / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for name in SHARED_FILES:
        shutil.copyfile(full / name, out / AUDIOGEN / name)
    weight_map = json.loads((full / INDEX).read_text(encoding="utf-8"))["weight_map"]
    for shard in sorted(set(weight_map.values())):
        names = [name for name in weight_map if weight_map[name] == shard]
        write_safetensors(full / shard, {name: tensors[f"{FULL}/{name}"] for name in names}, "bfloat16")
    for folder in (SPEECH, XCODEC):
        part = {name.removeprefix(f"{folder}/"): array for name, array in tensors.items() if name.startswith(f"{folder}/")}
        write_safetensors(out / folder / SINGLE, part)


def add_symbols(content: dict, blocks: dict[str, list[int]]) -> None:
    """Restores codec symbols in a tokenizer.json: among the added tokens and in the vocabulary."""
    form = content["added_tokens"][0]
    for kind, (start, end) in blocks.items():
        for token in range(start, end):
            name = f"<{kind}_{token - start}>"
            content["added_tokens"].append(form | {"id": token, "content": name})
            content["model"]["vocab"][name] = token
    content["added_tokens"].sort(key=lambda token: token["id"])


def rebuild_audex_answers(cut: Path, out: Path) -> None:
    """Writes expected.json, the arrays, and the sounds, which the cut stores as arrays of bytes."""
    out.mkdir(parents=True)
    shutil.copyfile(cut / "expected.json", out / "expected.json")
    for name, array in unpack(cut / "answers.npz").items():
        if name.endswith(".wav"):
            (out / name).write_bytes(array.tobytes())
        else:
            np.save(out / f"{name}.npy", array)
