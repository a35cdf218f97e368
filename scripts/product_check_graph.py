#!/usr/bin/env python3
"""Writes the graph that checks products of unsigned by signed bytes at run time: src/runtime/product_check.onnx.

    python3 scripts/product_check_graph.py

The `product` of the bytes `a` [rows, 70], of which 128 are taken away, by weights of signed bytes [70, 67], as row-wise
quantized graphs have it. Neighbours among the weights have one sign and nearly the largest size, so that a kernel that adds
two products in 16 bits is wrong; the sizes are multiples of no vector length, so that all parts of a kernel run. It needs the package
onnx, which export/requirements.txt pins.
"""

from onnx import TensorProto, helper
from small_graph import write

DEPTH = 70
COLUMNS = 67


def weight(depth: int, column: int) -> int:
    """Returns the weight; src/runtime/product.rs computes the same."""
    return (127, -128, 126, -127)[(5 * (depth // 2) + 3 * column) % 4]


def main() -> None:
    a = helper.make_tensor_value_info("a", TensorProto.UINT8, ["rows", DEPTH])
    product = helper.make_tensor_value_info("product", TensorProto.FLOAT, ["rows", COLUMNS])
    bytes_of_weights = bytes(weight(k, n) % 256 for k in range(DEPTH) for n in range(COLUMNS))
    initializers = [
        helper.make_tensor("weights", TensorProto.INT8, [DEPTH, COLUMNS], bytes_of_weights, raw=True),
        helper.make_tensor("a_scale", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("scales", TensorProto.FLOAT, [COLUMNS], [2.0 ** (n % 3) for n in range(COLUMNS)]),
        helper.make_tensor("a_zero", TensorProto.UINT8, [], [128]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
    ]
    inputs = ["a", "weights", "a_scale", "scales", "a_zero", "zero"]
    node = helper.make_node("MatMulIntegerToFloat", inputs, ["product"], domain="com.microsoft")
    graph = helper.make_graph([node], "product_check", [a], [product], initializers)
    write(graph, "runtime/product_check.onnx", microsoft=True)


if __name__ == "__main__":
    main()
