"""ConvNeXt blocks over frames."""

from ..graph import GraphBuilder
from ..tensors import Prefixed
from .norm import layer_norm
from .shapes import Shapes, conv_shapes, linear_shapes, norm_shapes


def convnext_block(graph: GraphBuilder, x: str, tensors: Prefixed, size: int, kernel: int) -> str:
    """One block over x [B, size, frames]; its `scale` is folded into its last layer."""
    weight = tensors["depthwise.weight"]
    bias = tensors["depthwise.bias"]
    y = graph.conv(x, weight, bias, padding=kernel // 2, groups=size)
    y = layer_norm(graph, graph.transpose(y, [0, 2, 1]), tensors, "norm")
    y = graph.gelu(graph.linear(y, tensors["up.weight"], tensors["up.bias"], name="up", quantize=False))
    scale = tensors["scale"][:]
    weight = tensors["down.weight"][:] * scale[:, None]
    bias = tensors["down.bias"][:] * scale
    y = graph.linear(y, weight, bias, name="down", quantize=False)
    return graph.add(x, graph.transpose(y, [0, 2, 1]))


def convnext_shapes(size: int, expansion: int, kernel: int) -> Shapes:
    return (
        conv_shapes("depthwise", size, 1, kernel)
        | norm_shapes("norm", size)
        | linear_shapes("up", expansion * size, size)
        | linear_shapes("down", size, expansion * size)
        | {"scale": (size,)}
    )
