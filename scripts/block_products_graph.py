#!/usr/bin/env python3
"""Writes the graph for the test of products by quantized blocks: src/runtime/block_products.onnx.

    python3 scripts/block_products_graph.py

The products of the floats `a` [rows, 256] by weights [67, 256] of 4 bits in blocks of 32 (`4 bits of 32`) and of 128, and of 8 bits in blocks of
32, as quantized packages have them (MatMulNBits, accuracy level 4). It needs the package onnx, which export/requirements.txt pins.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from small_graph import write

DEPTH = 256
COLUMNS = 67
FORMS = ((4, 32), (4, 128), (8, 32))
"""Bits and sizes of blocks."""


def weights(bits: int) -> np.ndarray:
    """Returns the weights [67, 256], near both ends of the range; src/runtime/block_products.rs computes the same."""
    most = 1 << (bits - 1)
    depth = np.arange(DEPTH)
    column = np.arange(COLUMNS)[:, None]
    return np.array([most - 1, -most, most - 2, 1 - most])[(5 * (depth // 2) + 3 * column) % 4]


def scales_of(blocks: int) -> np.ndarray:
    """Returns the scales [67, blocks], which mostly need all bits of a float; src/runtime/block_products.rs computes the same."""
    column = np.arange(COLUMNS)[:, None]
    block = np.arange(blocks)
    return np.float32(1) + ((7 * column + 3 * block) % 11).astype(np.float32) / np.float32(11)


def product(bits: int, block: int) -> tuple:
    """Returns a node and its initializers."""
    name = f"{bits} bits of {block}"
    stored = (weights(bits) + (1 << (bits - 1))).astype(np.uint8)
    if bits == 4:
        stored = stored[:, ::2] | (stored[:, 1::2] << 4)
    stored = stored.reshape(COLUMNS, DEPTH // block, -1)
    scales = scales_of(DEPTH // block)
    node = helper.make_node(
        "MatMulNBits", ["a", f"{name}: values", f"{name}: scales"], [name], domain="com.microsoft",
        K=DEPTH, N=COLUMNS, bits=bits, block_size=block, accuracy_level=4,
    )  # fmt: skip
    return node, [numpy_helper.from_array(stored, f"{name}: values"), numpy_helper.from_array(scales, f"{name}: scales")]


def main() -> None:
    a = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", DEPTH])
    outputs = [helper.make_tensor_value_info(f"{bits} bits of {block}", TensorProto.FLOAT, ["rows", COLUMNS]) for bits, block in FORMS]
    products = [product(bits, block) for bits, block in FORMS]
    initializers = [one for _, own in products for one in own]
    graph = helper.make_graph([node for node, _ in products], "block_products", [a], outputs, initializers)
    write(graph, "runtime/block_products.onnx", microsoft=True)


if __name__ == "__main__":
    main()
