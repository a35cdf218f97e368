#!/usr/bin/env python3
"""Writes the graph with which the runtime checks the attention of a device: src/runtime/attention_check.onnx.

    python3 scripts/attention_check_graph.py

One MultiHeadAttention without projections: `query`, `key` and `value` [1, positions, 64], four heads of 16. It needs the
package onnx, which export/requirements.txt pins.
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save

FILE = Path(__file__).resolve().parent.parent / "src" / "runtime" / "attention_check.onnx"
WIDTH, HEADS = 64, 4


def main() -> None:
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "positions", WIDTH])
        for name in ("query", "key", "value", "output")
    ]
    node = helper.make_node("MultiHeadAttention", ["query", "key", "value"], ["output"], domain="com.microsoft", num_heads=HEADS)
    graph = helper.make_graph([node], "attention_check", ports[:3], ports[3:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="ualm")
    checker.check_model(model)
    save(model, FILE)


if __name__ == "__main__":
    main()
