"""Finite scalar quantization as graphs: the digits of a code, each in its own base, are its values."""

import numpy as np

from ..graph import FLOAT, GraphBuilder


def decode(graph: GraphBuilder, codes: str, levels: list[int]) -> str:
    """codes int64 [..., 1] → values [..., digits] in −1..=1; the first digit is the least significant."""
    worth = np.cumprod([1, *levels[:-1]], dtype=np.int64)
    places = graph.op("Div", codes, graph.constant(worth))
    digits = graph.op("Mod", places, graph.constant(np.array(levels, np.int64)))
    steps = 2.0 / (np.array(levels, np.float64) - 1)
    values = graph.op("Mul", graph.op("Cast", digits, to=FLOAT), graph.constant(steps.astype(np.float32)))
    return graph.op("Sub", values, graph.constant(1.0))
