#!/usr/bin/env python3
"""Writes the graphs that move rows in a device's memory: src/runtime/row_moves.onnx for float32 and row_moves_half.onnx for float16.

    python3 scripts/row_moves_graph.py

`moved` [rows, size] is `to` with the rows `to_rows` [moves, 1] replaced by the rows `from_rows` [moves] of `from`. The
runtime binds `moved` to the memory of `to`, and `from` may be the same memory: all rows are gathered before any is
written, and ScatterND changes only the given rows. Needs the package onnx, pinned in export/requirements.txt.
"""

from onnx import TensorProto, helper
from small_graph import write


def write_moves(file: str, element: int) -> None:
    port = helper.make_tensor_value_info
    inputs = [
        port("to", element, ["rows", "size"]),
        port("from", element, ["other_rows", "size"]),
        port("to_rows", TensorProto.INT64, ["moves", 1]),
        port("from_rows", TensorProto.INT64, ["moves"]),
    ]
    nodes = [
        helper.make_node("Gather", ["from", "from_rows"], ["gathered"], axis=0),
        helper.make_node("ScatterND", ["to", "to_rows", "gathered"], ["moved"]),
    ]
    graph = helper.make_graph(nodes, "row_moves", inputs, [port("moved", element, ["rows", "size"])])
    write(graph, f"runtime/{file}")


def main() -> None:
    write_moves("row_moves.onnx", TensorProto.FLOAT)
    write_moves("row_moves_half.onnx", TensorProto.FLOAT16)


if __name__ == "__main__":
    main()
