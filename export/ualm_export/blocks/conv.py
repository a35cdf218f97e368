"""Residual units of convolutions after snake activations."""

from ..graph import GraphBuilder
from ..tensors import Prefixed
from .shapes import Shapes, conv_shapes
from .snake import snake


def residual_unit(graph: GraphBuilder, x: str, tensors: Prefixed, kernel: int, dilation: int) -> str:
    """x + a wide convolution and a pointwise one, each after a snake; x [B, channels, T]."""
    h = snake(graph, x, tensors["wide_snake.alpha"])
    padding = (kernel - 1) * dilation // 2
    h = graph.conv(h, tensors["wide.weight"], tensors["wide.bias"], padding=padding, dilation=dilation)
    h = snake(graph, h, tensors["point_snake.alpha"])
    return graph.add(x, graph.conv(h, tensors["point.weight"], tensors["point.bias"]))


def residual_unit_shapes(name: str, channels: int, kernel: int) -> Shapes:
    return (
        {f"{name}.wide_snake.alpha": (1, channels, 1)}
        | conv_shapes(f"{name}.wide", channels, channels, kernel)
        | {f"{name}.point_snake.alpha": (1, channels, 1)}
        | conv_shapes(f"{name}.point", channels, channels, 1)
    )
