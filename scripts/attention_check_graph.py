#!/usr/bin/env python3
"""Writes the graph that checks the attention of a device at run time: src/runtime/attention_check.onnx.

    python3 scripts/attention_check_graph.py

One MultiHeadAttention without projections: `query`, `key` and `value` [1, positions, 64], four heads of 16. It needs the
package onnx, which export/requirements.txt pins.
"""

from onnx import TensorProto, helper
from small_graph import write

WIDTH = 64
HEADS = 4


def main() -> None:
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "positions", WIDTH])
        for name in ("query", "key", "value", "output")
    ]
    node = helper.make_node("MultiHeadAttention", ["query", "key", "value"], ["output"], domain="com.microsoft", num_heads=HEADS)
    graph = helper.make_graph([node], "attention_check", ports[:3], ports[3:])
    write(graph, "runtime/attention_check.onnx", microsoft=True)


if __name__ == "__main__":
    main()
