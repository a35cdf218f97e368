"""`add_half_forms`: the float16 forms of a package's graphs, each kept only if its results are nearly the same."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx

from ..errors import ExportError
from ..graph import FLOAT
from .convert import Form, Source, choose, rounded, write
from .measure import Run, Runner, value_types
from .operators import SUMMED_EXACTLY
from .probes import Probe, Probes

BOUND = 0.01
"""Maximum difference from float32 arithmetic, relative to the largest value of an output."""
CODES_BOUND = 0.05
"""Maximum share of a codec encoder's codes that may differ."""
CODES = "audio_codes"
"""Integer output of nearest-entry searches, which may differ if two entries were nearly as near; no other integers may differ."""
FORMS = ("half", *SUMMED_EXACTLY)
"""Names of forms, between a graph's name and .onnx: for all providers, or for one."""


def add_half_forms(folder: Path, manifest: Mapping, targets: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Writes the float16 forms that `targets` benefit from, as GRAPH.FORM.onnx, into the package in `folder`.

    Returns the files by target and graph, and a sentence for each graph that a target runs unchanged. `embed` is not converted:
    it looks rows up and has no products.
    """
    graphs = manifest["graphs"]
    files = {target: {} for target in targets}
    notes = []
    embed = Runner(onnx.load(folder / graphs["embed"], load_external_data=False), folder)
    for name, probe in Probes(manifest, embed).by_graph().items():
        graph = None
        for target in files:
            try:
                graph = graph or _Graph(folder / graphs[name], probe)
                files[target][name] = graph.form_for(target).name
            except ExportError as error:
                notes.append(f"{name} has no float16 form for {target}: {error}")
    return {target: named for target, named in files.items() if named}, notes


class _Graph:
    """A graph, the results of its float32 runs, and its written forms."""

    def __init__(self, path: Path, probe: Probe):
        self._path = path
        self._probe = probe
        model = _named(onnx.load(path, load_external_data=False))
        folder = path.parent
        types = value_types(model, folder)
        weights = {tensor.name for tensor in model.graph.initializer}
        runner = Runner(_exact(model), folder, [name for name, kind in types.items() if kind == FLOAT and name not in weights])
        probe(runner)
        runner.close()
        self._source = Source(model, folder, types, runner.largest)
        self._expected = runner.outputs
        self._written: dict[str, Path | ExportError] = {}

    def form_for(self, target: str) -> Path:
        """Returns the file of the best form for `target`: all providers share one if it has most of the products."""
        shared = choose(self._source, set.intersection(*SUMMED_EXACTLY.values()))
        if _is_worth(shared):
            return self._write("half", shared)
        form = choose(self._source, SUMMED_EXACTLY[target])
        if _is_worth(form) or form.has_cache:
            return self._write(target, form)
        raise ExportError(f"{form.in_half} of its {form.products} products can be in float16 there; expected more")

    def _write(self, kind: str, form: Form) -> Path:
        """Writes a form once; refuses one whose results differ."""
        if kind not in self._written:
            path = self._path.with_name(f"{self._path.stem}.{kind}.onnx")
            try:
                write(path, self._source, form)
                self._check(path)
                self._written[kind] = path
            except ExportError as error:
                path.unlink(missing_ok=True)
                path.with_name(path.name + ".data").unlink(missing_ok=True)
                self._written[kind] = error
        found = self._written[kind]
        if isinstance(found, ExportError):
            raise found
        return found

    def _check(self, path: Path) -> None:
        runner = Runner(rounded(onnx.load(path, load_external_data=False)), path.parent)
        self._probe(runner)
        for expected, found in zip(self._expected, runner.outputs):
            _compare(expected, found)


def _is_worth(form: Form) -> bool:
    return 2 * form.in_half > form.products


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with a unique name for each node."""
    for index, node in enumerate(model.graph.node):
        node.name = f"{index}/{node.name or node.op_type}"
    return model


def _exact(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model without rounding of the activations of quantized products."""
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
            different = float(np.mean(value != right))
            bound = CODES_BOUND if name == CODES else 0
            if different > bound:
                raise ExportError(f"in float16 {different:.1%} of {name} differ; expected at most {bound:.0%}")
            continue
        largest = float(np.abs(right).max(initial=0.0))
        if not 0 < largest < np.inf:
            raise ExportError(f"{name} is all zeros, or not finite, on the inputs of the comparison")
        if not np.isfinite(value).all():
            raise ExportError(f"in float16 {name} has values that are not finite")
        difference = float(np.abs(value.astype(np.float32) - right).max()) / largest
        if difference > BOUND:
            raise ExportError(f"in float16 {name} differs by {difference:.1e} of its largest value; expected at most {BOUND}")
