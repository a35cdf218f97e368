"""A stand-in for a checkpoint's enhancer that fulfils the contract and has predictable output."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx.numpy_helper import from_array


def write_enhancer(path: Path, output: str = "enhanced_values") -> None:
    """Writes the graph: every sample three times, on the left as it is, on the right times -2."""
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["audio_values", "factors"], ["both"]),
            helper.make_node("Resize", ["both", "", "scales"], [output], mode="nearest"),
        ],
        "enhancer",
        [helper.make_tensor_value_info("audio_values", float32, ["batch", 1, "samples"])],
        [helper.make_tensor_value_info(output, float32, ["batch", 2, "enhanced"])],
        [
            from_array(np.array([1.0, -2.0], np.float32).reshape(1, 2, 1), "factors"),
            from_array(np.array([1.0, 1.0, 3.0], np.float32), "scales"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
