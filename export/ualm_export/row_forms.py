"""The forms of a package's graphs with 8-bit products by rows, for processors with VNNI (see `row_products`)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .calibration import LinearInputs, Statistics
from .graph import Storage
from .parts import Parts
from .precision import BY_ROWS
from .self_check import check_audio_encoder, check_llm
from .smoothing import Smoothing
from .tensors import TensorStore

VARIANT = "cpu_vnni"
"""The forms' name in the manifest."""
MOST_LOST = 0.015
"""Maximum error of a layer's outputs, relative to their norm; layers beyond it keep blocks: few, those after a gate."""


def write_row_forms(
    folder: Path, parts: Parts, tensors: TensorStore, storage: Mapping[str, Storage], statistics: Statistics
) -> dict[str, str]:
    """Writes and runs the useful forms of a package with this `storage`; returns their files by name.

    `statistics` of `llm` and `audio_encoder` are used if present: without them large features reduce the accuracy of the
    others.
    """
    graphs = parts.graphs()
    files = {}
    for form, graph in parts.row_forms(storage).items():
        path = folder / f"{form}.rows.onnx"
        smoothing = smoothing_of(parts, form, tensors, statistics.get(graph, {}))
        by_rows = replace(BY_ROWS, inputs=smoothing.inputs(), in_blocks=smoothing.sensitive(MOST_LOST))
        graphs[graph].build(path, by_rows, smoothing.tensors())
        check_llm(path, parts.decoder) if graph == "llm" else check_audio_encoder(path, parts)
        files[form] = path.name
    return files


def smoothing_of(parts: Parts, form: str, tensors: Mapping, inputs: Mapping[str, LinearInputs]) -> Smoothing:
    """Returns the smoothing of the form `llm`, `prefill` or `audio_encoder`, whose linear layers read `inputs`.

    The steps of `llm` continue with the cache that `prefill` writes.
    """
    if form == "audio_encoder":
        return Smoothing(tensors, parts.audio_encoder.names, inputs).tower(parts.audio_encoder.tower)
    return Smoothing(tensors, parts.decoder.names, inputs).decoder(parts.decoder.stack, keeps_cache=form == "prefill")
