"""The snake activation."""

import numpy as np

from ..graph import GraphBuilder


def snake(graph: GraphBuilder, x: str, alpha) -> str:
    """x + sin²(αx) / (α + 1e-9)."""
    alpha = alpha[:]
    sine = graph.op("Sin", graph.op("Mul", x, graph.constant(alpha)))
    reciprocal = graph.constant((1.0 / (alpha + np.float32(1e-9))).astype(np.float32))
    return graph.add(x, graph.op("Mul", graph.op("Mul", sine, sine), reciprocal))
