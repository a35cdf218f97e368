"""Measures the values of a graph: their types, and their largest magnitudes in runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from ..errors import ExportError

Run = dict[str, np.ndarray]
"""Inputs or outputs of one run, by name."""

_RANGE = "range of "
_TYPES = {"tensor(float)": TensorProto.FLOAT, "tensor(float16)": TensorProto.FLOAT16, "tensor(bool)": TensorProto.BOOL}


def session_of(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    """Creates a session on the CPU that computes every value unfused, with weights from `folder`, which are not copied."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # the order of the nodes
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many exception types of its own
        raise ExportError(f"ONNX Runtime does not load it: {error}") from None


def value_types(model: onnx.ModelProto, folder: Path) -> dict[str, int]:
    """Returns the element type of every value: inputs, initializers and outputs of nodes. 0 stands for all but floats and bools."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    outputs = (name for node in model.graph.node for name in node.output if name and name not in known)
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = session_of(probe, folder)
    types = {value.name: _TYPES.get(value.type, 0) for value in [*session.get_inputs(), *session.get_outputs()]}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def _with_ranges(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """Returns the model with the largest magnitude of each of `values` as an output, computed next to the value.

    Computed at the end, it would keep all values in memory until then.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.ClearField("node")
    wanted = set(values)
    made = [(None, [value.name for value in model.graph.input]), *((node, node.output) for node in model.graph.node)]
    for node, names in made:
        result.graph.node.extend([node] if node is not None else [])
        for name in [name for name in names if name in wanted]:
            result.graph.node.append(helper.make_node("Abs", [name], [f"magnitude of {name}"]))
            result.graph.node.append(helper.make_node("ReduceMax", [f"magnitude of {name}"], [_RANGE + name], keepdims=0))
            result.graph.output.append(helper.make_tensor_value_info(_RANGE + name, TensorProto.FLOAT, []))
    return result


class Runner:
    """Runs a graph; keeps the outputs and, if wanted, the largest magnitudes of `ranged` values."""

    def __init__(self, model: onnx.ModelProto, folder: Path, ranged: Sequence[str] = ()):
        self._names = [value.name for value in model.graph.output]
        self._session = session_of(_with_ranges(model, ranged), folder)
        self._half = {value.name for value in self._session.get_inputs() if value.type == "tensor(float16)"}
        self.outputs: list[Run] = []
        self.largest: dict[str, float] = {}

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> Run:
        feeds = {name: value.astype(np.float16) if name in self._half else value for name, value in feeds.items()}
        names = [value.name for value in self._session.get_outputs()]
        try:
            found = dict(zip(names, self._session.run(names, feeds)))
        except Exception as error:  # as above
            raise ExportError(f"it does not run in ONNX Runtime: {error}") from None
        for name in names[len(self._names) :]:
            value = name.removeprefix(_RANGE)
            self.largest[value] = float(np.fmax(self.largest.get(value, 0.0), found.pop(name)))
        self.outputs.append(found)
        return found

    def close(self) -> None:
        """Frees the session's memory; the outputs stay."""
        del self._session
