"""A float graph in ONNX Runtime that records the inputs of its linear layers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from ..errors import ExportError

_MOST_FOLDED = 1 << 31
"""Maximum bytes of a graph whose float32 weights are kept between runs; those of larger graphs are widened in each run."""
_CHUNK = 4096
_EXAMPLES = 16
"""Maximum stored inputs of a layer for each run."""


class LinearInputs:
    """Statistics of the inputs of a linear layer of K features, over all observed positions."""

    def __init__(self, features: int, path: Path | None):
        self.largest = np.zeros(features, np.float32)
        """The largest magnitude of each feature, float32 [K]."""
        self.positions = 0
        self._examples: list[np.ndarray] = []
        self._path = path

    def add(self, x: np.ndarray) -> None:
        """Adds inputs [positions, K]."""
        np.maximum(self.largest, np.abs(x).max(0), out=self.largest)
        self.positions += len(x)
        self._examples.append(_to_bfloat16(x[:: -(-len(x) // _EXAMPLES)]))
        if self._path is not None:
            with open(self._path, "ab") as file:
                file.write(_to_bfloat16(x).data.cast("B"))

    def examples(self) -> np.ndarray:
        """Returns some of the inputs of every run, float32 [positions, K]."""
        return _from_bfloat16(np.concatenate(self._examples))

    def moments(self) -> np.ndarray:
        """Computes the mean of x xᵀ, float32 [K, K], from the inputs, which are stored in a file in bfloat16."""
        if self._path is None:
            raise ValueError("the inputs were not stored")
        if not np.all(np.isfinite(self.largest)):
            raise ExportError(
                "the model computes values that are not finite on the calibration's inputs; "
                "are the weights damaged? (else --no-calibration)"
            )
        features = len(self.largest)
        total = np.zeros((features, features), np.float32)
        kept = np.memmap(self._path, np.uint16, "r").reshape(-1, features)
        for start in range(0, len(kept), _CHUNK):
            x = _from_bfloat16(kept[start : start + _CHUNK])
            total += x.T @ x
        return total / np.float32(len(kept))


class ObservedGraph:
    """A float graph of the exporter in ONNX Runtime. With the folder `kept`, the inputs of its linear layers are stored there."""

    def __init__(self, path: Path, kept: Path | None = None):
        self._name = path.name
        model = onnx.load(path, load_external_data=False)
        self._outputs = [value.name for value in model.graph.output]
        self._layers = linear_layers(model)
        values = sorted(set(self._layers.values()))
        files = {value: kept / f"{path.stem}.{number}" if kept else None for number, value in enumerate(values)}
        self._statistics: dict[str, LinearInputs] = {}
        self._files = files
        inputs = {value.name for value in model.graph.input}
        self._observed = [value for value in values if value not in self._outputs and value not in inputs]
        model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in self._observed)
        self.session = _session(model, path.parent)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the graph without observing."""
        return dict(zip(self._outputs, self._run(self._outputs, feeds)))

    def observe(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the graph and records the inputs of all linear layers."""
        names = self._outputs + self._observed
        found = dict(zip(names, self._run(names, feeds)))
        for value, file in self._files.items():
            x = found[value] if value in found else feeds[value]
            x = np.asarray(x, np.float32).reshape(-1, x.shape[-1])
            self._statistics.setdefault(value, LinearInputs(x.shape[1], file)).add(x)
        return {name: found[name] for name in self._outputs}

    def _run(self, names: list[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self.session.run(names, dict(feeds))
        except Exception as error:  # ONNX Runtime raises many exception types of its own
            raise ExportError(f"{self._name} does not run for calibration: {error}") from None

    def close(self) -> dict[str, LinearInputs]:
        """Frees the session's memory; returns the statistics by the scoped name of the layer."""
        del self.session
        return {layer: self._statistics[value] for layer, value in self._layers.items() if value in self._statistics}


def linear_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Returns the inputs of the linear layers of a float graph by the layers' names: products with a weight of their own scope."""
    weights = {tensor.name for tensor in model.graph.initializer}
    widened = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    layers = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        name = _scope(node.name)
        weight = widened.get(node.input[1], node.input[1])
        if name and weight in weights and _scope(weight) == name:
            if name in layers:
                raise ValueError(f"two linear layers are named {name}")
            layers[name] = node.input[0]
    return layers


def _scope(name: str) -> str:
    return name.rpartition("/")[0]


def _session(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    elements = sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer)
    disabled = ["ConstantFolding"] if elements > _MOST_FOLDED else []
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )


def _to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Converts float32 numbers to bfloat16: their upper halves, rounded."""
    return ((np.ascontiguousarray(x, np.float32).view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def _from_bfloat16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32)
