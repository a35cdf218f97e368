#!/usr/bin/env python3
"""Writes the graphs that measure the processor's peak: one product each, in src/speed.

    python3 scripts/peak_graphs.py

`product` [rows, 4096] is `input` [rows, 1024] by weights that are all alike: ONNX Runtime expands them when it loads the graph,
so that the files are small, and speed does not depend on them. It needs the package onnx, which export/requirements.txt pins.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from small_graph import write

INPUTS = 1024
OUTPUTS = 4096
BLOCK = 128
MICROSOFT = "com.microsoft"


class Graph:
    """The nodes and initializers of a graph under construction."""

    def __init__(self) -> None:
        self.nodes = []
        self.initializers = []

    def constant(self, name: str, value: np.generic) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(value), name))
        return name

    def filled(self, name: str, shape: list[int], value: np.generic) -> str:
        """Adds a tensor whose elements are all `value`."""
        self.initializers.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}.shape"))
        value = numpy_helper.from_array(np.array([value]), f"{name}.value")
        self.nodes.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=value))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **options: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **options))
        return output

    def save(self, file: str) -> None:
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
            for name, width in (("input", INPUTS), ("product", OUTPUTS))
        ]
        graph = helper.make_graph(self.nodes, "peak", ports[:1], ports[1:], self.initializers)
        write(graph, f"speed/{file}", microsoft=True)


def write_float32() -> None:
    graph = Graph()
    graph.node("MatMul", ["input", graph.filled("weights", [INPUTS, OUTPUTS], np.float32(0.5))], "product")
    graph.save("float32.onnx")


def write_blocks(bits: int, file: str) -> None:
    """Writes a product of weights of `bits` bits, with a scale for each block, and activations that the kernel quantizes to 8 bits."""
    graph = Graph()
    weights = graph.filled("weights", [OUTPUTS, INPUTS // BLOCK, BLOCK * bits // 8], np.uint8(0x77))
    scales = graph.filled("scales", [OUTPUTS, INPUTS // BLOCK], np.float32(0.01))
    sizes = {"K": INPUTS, "N": OUTPUTS, "bits": bits, "block_size": BLOCK, "accuracy_level": 4}
    graph.node("MatMulNBits", ["input", weights, scales], "product", domain=MICROSOFT, **sizes)
    graph.save(file)


def write_rows() -> None:
    """Writes a product of 8-bit weights, with a scale for each column, and 8-bit activations."""
    graph = Graph()
    scale = graph.constant("scale", np.float32(1 / 127))
    zero = graph.constant("zero", np.uint8(128))
    quantized = graph.node("QuantizeLinear", ["input", scale, zero], "quantized")
    weights = graph.filled("weights", [INPUTS, OUTPUTS], np.int8(3))
    scales = graph.filled("scales", [OUTPUTS], np.float32(0.01))
    inputs = [quantized, weights, scale, scales, zero, graph.constant("weights_zero", np.int8(0))]
    graph.node("MatMulIntegerToFloat", inputs, "product", domain=MICROSOFT)
    graph.save("rows.onnx")


def main() -> None:
    write_float32()
    write_blocks(8, "eight_bits.onnx")
    write_blocks(4, "four_bits.onnx")
    write_rows()


if __name__ == "__main__":
    main()
