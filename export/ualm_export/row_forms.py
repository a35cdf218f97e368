"""The forms of a package's graphs whose 8-bit products are by rows, for processors with VNNI (see `row_products`)."""

from collections.abc import Mapping
from pathlib import Path

from .graph import Storage
from .parts import Parts
from .precision import BY_ROWS
from .self_check import check_audio_encoder, check_llm
from .tensors import TensorStore

VARIANT = "cpu_vnni"
"""The forms' name in the manifest."""


def write_row_forms(folder: Path, parts: Parts, tensors: TensorStore, storage: Mapping[str, Storage]) -> dict[str, str]:
    """Writes and runs the forms that a package of `storage`, by role, gains by; gives their files by name."""
    graphs, files = parts.graphs(), {}
    for form, graph in parts.row_forms(storage).items():
        path = folder / f"{form}.rows.onnx"
        graphs[graph].build(path, BY_ROWS, tensors)
        check_llm(path, parts.decoder) if graph == "llm" else check_audio_encoder(path, parts)
        files[form] = path.name
    return files
