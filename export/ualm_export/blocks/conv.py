"""Residual units of convolutions behind snake activations."""

from ..graph import GraphBuilder
from ..tensors import Prefixed
from .shapes import Shapes, conv_shapes
from .snake import divides, snake, snake_of_angle


def residual_unit(graph: GraphBuilder, x: str, tensors: Prefixed, kernel: int, dilation: int) -> str:
    """x + a wide convolution and a pointwise one, each behind a snake; x [B, channels, T].

    Where weights are rounded anyway, the rates of the snakes are multiplied into them.
    """
    first, second = tensors["wide_snake.alpha"], tensors["point_snake.alpha"]
    padding = (kernel - 1) * dilation // 2
    wide, wide_bias, point = tensors["wide.weight"][:], tensors["wide.bias"][:], tensors["point.weight"][:]
    if graph.storage.half and divides(first) and divides(second):
        rates = second[:].reshape(-1)
        h = snake_of_angle(graph, graph.op("Mul", x, graph.constant(first[:])))
        wide, wide_bias, point = wide / first[:] * rates[:, None, None], wide_bias * rates, point / second[:]
        h = graph.conv(h, wide, wide_bias, padding=padding, dilation=dilation)
        h = snake_of_angle(graph, h)
    else:
        h = graph.conv(snake(graph, x, first), wide, wide_bias, padding=padding, dilation=dilation)
        h = snake(graph, h, second)
    return graph.add(x, graph.conv(h, point, tensors["point.bias"]))


def residual_unit_shapes(name: str, channels: int, kernel: int) -> Shapes:
    return (
        {f"{name}.wide_snake.alpha": (1, channels, 1)}
        | conv_shapes(f"{name}.wide", channels, channels, kernel)
        | {f"{name}.point_snake.alpha": (1, channels, 1)}
        | conv_shapes(f"{name}.point", channels, channels, 1)
    )
