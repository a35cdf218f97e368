"""Writes the small graphs of the runtime and its benchmarks."""

from pathlib import Path

from onnx import GraphProto, checker, helper, save

SOURCES = Path(__file__).resolve().parent.parent / "src"


def write(graph: GraphProto, file: str, *, microsoft: bool = False) -> None:
    """Writes a checked model to `file`, a path in src; with `microsoft` it may use ONNX Runtime's own operators."""
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid("com.microsoft", 1)] if microsoft else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="ualm")
    checker.check_model(model)
    save(model, SOURCES / file)
