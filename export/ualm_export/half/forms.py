"""`add_half_forms`: the float16 forms of a package's graphs, each written only where it gives nearly the same."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import ExportError
from .convert import Source, to_half, write_half
from .measure import Run, Runner, value_types
from .probes import Probe, Probes

BOUND = 0.01
"""The largest difference from float32 arithmetic, of the largest value of an output."""
CODES_BOUND = 0.05
"""The largest part of a codec encoder's codes that may differ."""
CODES = "audio_codes"
"""Numbers that are chosen, and may be others where two were nearly as good; no other whole number may differ."""
SUFFIX = ".half.onnx"


def add_half_forms(folder: Path, manifest: Mapping) -> tuple[dict[str, str], dict[str, str]]:
    """Writes GRAPH.half.onnx beside the graphs of the package in `folder`, as far as `manifest` describes them.

    Gives the files by graph, and by graph why it has none. `embed` is not tried: it looks rows up and multiplies nothing.
    """
    graphs = manifest["graphs"]
    embed = Runner(onnx.load(folder / graphs["embed"], load_external_data=False), folder)
    files, reasons = {}, {}
    for name, probe in Probes(manifest, embed).by_graph().items():
        path = folder / f"{name}{SUFFIX}"
        try:
            _write_form(folder / graphs[name], path, probe)
            files[name] = path.name
        except ExportError as error:
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".data").unlink(missing_ok=True)
            reasons[name] = str(error)
    return files, reasons


def _write_form(graph: Path, path: Path, probe: Probe) -> None:
    """Writes the float16 form of `graph` to `path`; refuses one that would compute otherwise, or nothing in float16."""
    model = _named(onnx.load(graph, load_external_data=False))
    types = value_types(model, graph.parent)
    weights = {tensor.name for tensor in model.graph.initializer}
    floats = [name for name, kind in types.items() if kind == TensorProto.FLOAT and name not in weights]
    reference = Runner(_exact(model), graph.parent, floats)
    probe(reference)
    source = Source(model, graph.parent, types, reference.largest)
    write_half(path, source, *to_half(source))
    found = Runner(onnx.load(path, load_external_data=False), graph.parent)
    probe(found)
    for expected, given in zip(reference.outputs, found.outputs):
        _compare(expected, given)


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a name of its own for each node."""
    for index, node in enumerate(model.graph.node):
        node.name = f"{index}/{node.name or node.op_type}"
    return model


def _exact(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without rounding of the activations that meet quantized weights."""
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    for node in exact.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 0
    return exact


def _compare(expected: Run, found: Run) -> None:
    for name, right in expected.items():
        value = found[name]
        if value.dtype.kind == "i":
            different, bound = float(np.mean(value != right)), CODES_BOUND if name == CODES else 0
            if different > bound:
                raise ExportError(f"in float16 {different:.1%} of {name} are others; at most {bound:.0%} may be")
            continue
        largest = float(np.abs(right).max(initial=0.0))
        if not 0 < largest < np.inf:
            raise ExportError(f"{name} is nothing but zeros, or not finite, on the inputs that it is judged by")
        if not np.isfinite(value).all():
            raise ExportError(f"in float16 {name} holds values that are not finite")
        difference = float(np.abs(value.astype(np.float32) - right).max()) / largest
        if difference > BOUND:
            raise ExportError(f"in float16 {name} differs by {difference:.1e} of its largest value; at most {BOUND} may")
