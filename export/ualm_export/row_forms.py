"""The forms of a package's graphs whose 8-bit products are by rows, for processors with VNNI (see `row_products`)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .calibration import Statistics
from .graph import Storage
from .parts import Parts
from .precision import BY_ROWS
from .self_check import check_audio_encoder, check_llm
from .smoothing import Smoothing
from .tensors import TensorStore

VARIANT = "cpu_vnni"
"""The forms' name in the manifest."""


def write_row_forms(
    folder: Path, parts: Parts, tensors: TensorStore, storage: Mapping[str, Storage], statistics: Statistics
) -> dict[str, str]:
    """Writes and runs the forms that a package of `storage`, by role, gains by; gives their files by name.

    `statistics` of `llm` and `audio_encoder` are used where they are there: without them features that are larger than others
    cost the others their exactness.
    """
    graphs, files = parts.graphs(), {}
    for form, graph in parts.row_forms(storage).items():
        path = folder / f"{form}.rows.onnx"
        largest = {layer: inputs.largest for layer, inputs in statistics.get(graph, {}).items()}
        graphs[graph].build(path, BY_ROWS, smoothed(parts, graph, tensors, largest))
        check_llm(path, parts.decoder) if graph == "llm" else check_audio_encoder(path, parts)
        files[form] = path.name
    return files


def smoothed(parts: Parts, graph: str, tensors: Mapping, largest: Mapping[str, np.ndarray]) -> Mapping:
    """The tensors of `llm` or `audio_encoder`, smoothed for inputs of linear layers whose features are up to `largest`."""
    if graph == "llm":
        return Smoothing(tensors, parts.decoder.names, largest).decoder(parts.decoder.stack).tensors()
    return Smoothing(tensors, parts.audio_encoder.names, largest).tower(parts.audio_encoder.tower).tensors()
