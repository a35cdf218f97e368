"""Finite scalar quantization as graphs: a code's digits, in a base of its own for each place, are its values."""

import numpy as np

from ..graph import FLOAT, GraphBuilder


def decode(graph: GraphBuilder, codes: str, levels: list[int]) -> str:
    """codes int64 [..., 1] → values [..., places] in −1 … 1; the first place has the lowest worth."""
    worth = np.cumprod([1, *levels[:-1]], dtype=np.int64)
    places = graph.op("Div", codes, graph.constant(worth))
    digits = graph.op("Mod", places, graph.constant(np.array(levels, np.int64)))
    steps = 2.0 / (np.array(levels, np.float64) - 1)
    values = graph.op("Mul", graph.op("Cast", digits, to=FLOAT), graph.constant(steps.astype(np.float32)))
    return graph.op("Sub", values, graph.constant(1.0))
