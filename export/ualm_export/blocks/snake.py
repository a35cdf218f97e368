"""The snake activation."""

import numpy as np

from ..graph import GraphBuilder

_LEAST_RATE = 1e-3


def snake(graph: GraphBuilder, x: str, alpha) -> str:
    """x + sin²(αx) / (α + 1e-9)."""
    alpha = alpha[:]
    sine = graph.op("Sin", graph.op("Mul", x, graph.constant(alpha)))
    reciprocal = graph.constant((1.0 / (alpha + np.float32(1e-9))).astype(np.float32))
    return graph.add(x, graph.op("Mul", graph.op("Mul", sine, sine), reciprocal))


def snake_of_angle(graph: GraphBuilder, angle: str) -> str:
    """α times the snake of x, for the angle αx: a pass over the numbers for each of three operators instead of five."""
    sine = graph.op("Sin", angle)
    return graph.add(angle, graph.op("Mul", sine, sine))


def divides(alpha) -> bool:
    """Whether weights may be divided by every α of a snake: 1e-9 is nothing beside them."""
    return float(np.abs(alpha[:]).min()) >= _LEAST_RATE
