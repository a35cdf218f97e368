#!/usr/bin/env python3
"""Makes the fixtures of the tests under target/fixtures.

    checkpoints/NAME         the cut reference checkpoints, in the trainer's format and as safetensors
    answers/NAME             the answers of the trainer's code: expected.json, .npy arrays, the input clips
    packages/NAME-PRECISION  the exported checkpoints
    packages/NAME-gpu        tiny-omni and tiny-audex in fp32 with float16 forms for GPUs
    packages/tiny-audex-no-audio  tiny-audex in fp32 without X-codec
    packages/synthetic-fp32  a random checkpoint of unusual sizes, exported
    packages/enhanced-fp32   tiny-omni-fp32 with an enhancer
    packages/failing-fp32    tiny-omni-fp32 with a language model that fails while it runs

Fixtures are rebuilt only if the sources (exporter, these tools, tests/data) have changed.
"""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

from audex_checkpoint import XCODEC, rebuild_audex_answers, rebuild_audex_checkpoint
from checkpoint_writer import write_sharded, write_torch_zip
from enhancer import write_enhancer
from packed_weights import unpack

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
FIXTURES = ROOT / "target" / "fixtures"
NAMES = ("tiny-omni", "tiny-afwhisper")
AUDEX = "tiny-audex"
PRECISIONS = ("fp32", "int8", "int4")
GPUS = ("cuda", "webgpu")
TARGETS_OF = {"tiny-afwhisper-fp32": ("cpu", "cuda", "openvino"), "tiny-audex-int8": ("cpu", "vnni", *GPUS)}
CONFIG_FOLDERS = ("llm", "codec", "encoder")

sys.path.insert(0, str(ROOT / "export"))

from synthetic_checkpoint import SyntheticCheckpoint  # noqa: E402
from ualm_export.package import Options, export_package  # noqa: E402


def rebuild_checkpoint(cut: Path, out: Path) -> None:
    """Writes a checkpoint folder from the cut; the two names use the two forms of weights."""
    out.mkdir(parents=True)
    shutil.copyfile(cut / "train.yaml", out / "train.yaml")
    for name in CONFIG_FOLDERS:
        shutil.copytree(cut / name, out / name)
    tensors = unpack(cut / "weights.npz")
    if cut.name == "tiny-afwhisper":
        write_sharded(out, tensors)
    else:
        write_torch_zip(out / "mp_rank_00_model_states.pt", tensors)


def rebuild_answers(cut: Path, out: Path) -> None:
    out.mkdir(parents=True)
    for path in [cut / "expected.json", *cut.glob("*.wav")]:
        shutil.copyfile(path, out / path.name)
    arrays = unpack(cut / "answers.npz")
    for case in json.loads((cut / "expected.json").read_text(encoding="utf-8"))["cases"]:
        for _, start, length in case.get("feature_slots", []):
            embeddings = arrays[f"{case['name']}.prompt_embeds"]
            arrays[f"{case['name']}.features"] = embeddings[start : start + length]
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array)


def sources_digest() -> str:
    """Returns the digest of all files that the fixtures depend on."""
    files = [path for folder in ("export", "tests/tools") for path in (ROOT / folder).glob("*.py")]
    files += (ROOT / "export" / "ualm_export").rglob("*.py")
    files += [path for name in (*NAMES, AUDEX) for path in (DATA / name).rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build() -> None:
    """Rebuilds all fixtures; the stamp is written last."""
    shutil.rmtree(FIXTURES, ignore_errors=True)
    for name in NAMES:
        rebuild_checkpoint(DATA / name, FIXTURES / "checkpoints" / name)
        rebuild_answers(DATA / name, FIXTURES / "answers" / name)
        for precision in PRECISIONS:
            export_package(
                FIXTURES / "checkpoints" / name, FIXTURES / "packages" / f"{name}-{precision}",
                Options(precision=precision, targets=TARGETS_OF.get(f"{name}-{precision}")),
            )  # fmt: skip
    export_package(FIXTURES / "checkpoints" / "tiny-omni", FIXTURES / "packages" / "tiny-omni-gpu", Options(targets=GPUS))
    build_audex(FIXTURES / "checkpoints" / AUDEX, FIXTURES / "packages")
    export_synthetic(FIXTURES / "checkpoints" / "synthetic", FIXTURES / "packages" / "synthetic-fp32")
    export_enhanced(FIXTURES / "checkpoints" / "tiny-omni", FIXTURES / "packages" / "enhanced-fp32")
    break_language_model(FIXTURES / "packages" / "tiny-omni-fp32", FIXTURES / "packages" / "failing-fp32", 32)


def build_audex(checkpoint: Path, packages: Path) -> None:
    """Writes the Audex checkpoint in its published layout, its answers and its packages."""
    rebuild_audex_checkpoint(DATA / AUDEX, checkpoint)
    rebuild_audex_answers(DATA / AUDEX, FIXTURES / "answers" / AUDEX)
    for precision in PRECISIONS:
        targets = TARGETS_OF.get(f"{AUDEX}-{precision}")
        options = Options(precision=precision, xcodec=checkpoint / XCODEC, targets=targets)
        export_package(checkpoint, packages / f"{AUDEX}-{precision}", options)
    export_package(checkpoint, packages / f"{AUDEX}-gpu", Options(xcodec=checkpoint / XCODEC, targets=GPUS))
    export_package(checkpoint, packages / f"{AUDEX}-no-audio", Options())


def export_synthetic(checkpoint: Path, package: Path) -> None:
    """Exports heads of size 12, which are padded in the graph, 3 streams of 512 codes, and other mel bins and chunks."""
    synthetic = SyntheticCheckpoint()
    synthetic.language_model |= {"hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    synthetic.write(checkpoint)
    write_torch_zip(checkpoint / "mp_rank_00_model_states.pt", synthetic.tensors())
    export_package(checkpoint, package, Options(name="synthetic"))


def export_enhanced(checkpoint: Path, package: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        enhanced = shutil.copytree(checkpoint, Path(folder) / checkpoint.name)
        write_enhancer(enhanced / "enhancer.onnx")
        export_package(enhanced, package, Options())


def break_language_model(package: Path, out: Path, positions: int) -> None:
    """Writes a package whose language model fails after `positions`, where its rotary tables end."""
    shutil.copytree(package, out)
    graph = onnx.load(out / "llm.onnx", load_external_data=False)
    attention = next(node for node in graph.graph.node if node.op_type == "GroupQueryAttention")
    for table in (tensor for tensor in graph.graph.initializer if tensor.name in attention.input[7:9]):
        table.dims[0] = positions
        length = next(entry for entry in table.external_data if entry.key == "length")
        length.value = str(4 * table.dims[0] * table.dims[1])
    (out / "llm.onnx").write_bytes(graph.SerializeToString())
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    bytes_ = (out / "llm.onnx").read_bytes()
    manifest["files"]["llm.onnx"] = {"size": len(bytes_), "sha256": hashlib.sha256(bytes_).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def main() -> int:
    stamp = FIXTURES / "stamp"
    digest = sources_digest()
    if stamp.is_file() and stamp.read_text() == digest:
        return 0
    start = time.monotonic()
    build()
    stamp.write_text(digest)
    print(f"target/fixtures: {len(list((FIXTURES / 'packages').iterdir()))} packages in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
