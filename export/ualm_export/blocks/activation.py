"""Activations, by their names in configs of the transformers library."""

from ..graph import GraphBuilder


def relu_squared(graph: GraphBuilder, x: str) -> str:
    rectified = graph.op("Relu", x)
    return graph.op("Mul", rectified, rectified)


def silu(graph: GraphBuilder, x: str) -> str:
    return graph.op("Mul", x, graph.op("Sigmoid", x))


ACTIVATIONS = {"relu2": relu_squared, "silu": silu, "gelu": GraphBuilder.gelu}

LEAST = {"relu2": 0.0, "silu": -0.2785, "gelu": -0.17}
"""Lower bounds of the activations' outputs."""
