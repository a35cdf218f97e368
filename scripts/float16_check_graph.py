#!/usr/bin/env python3
"""Writes the graph that checks float16 arithmetic of a device at run time: src/runtime/float16_check.onnx.

    python3 scripts/float16_check_graph.py

The product in float16 of `a` [rows, 32] and `b` [32, columns], which are float32 as is the `product`. It needs the package
onnx, which export/requirements.txt pins.
"""

from onnx import TensorProto, helper
from small_graph import write

WIDTH = 32


def main() -> None:
    shapes = {"a": ["rows", WIDTH], "b": [WIDTH, "columns"], "product": ["rows", "columns"]}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Cast", ["a"], ["half_a"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["b"], ["half_b"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half_a", "half_b"], ["half_product"]),
        helper.make_node("Cast", ["half_product"], ["product"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, "float16_check", ports[:2], ports[2:])
    write(graph, "runtime/float16_check.onnx")


if __name__ == "__main__":
    main()
