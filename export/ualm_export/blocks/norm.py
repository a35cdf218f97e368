"""Norms by role."""

import numpy as np

from ..graph import CONTRIB, GraphBuilder
from ..tensors import Prefixed


def layer_norm(graph: GraphBuilder, x: str, tensors: Prefixed, name: str, epsilon: float = 1e-5) -> str:
    return graph.layer_norm(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], epsilon)


def rms_norm(graph: GraphBuilder, x: str, weight, epsilon: float) -> str:
    """x / sqrt(mean(x²)) · weight, with the mean in float32."""
    scale = graph.constant(weight[:], np.float32)
    return graph.op("SimplifiedLayerNormalization", x, scale, axis=-1, epsilon=epsilon, stash_type=1)


def add_and_rms_norm(
    graph: GraphBuilder, branch: str, residual: str | None, weight, epsilon: float, last: bool = False
) -> tuple[str, str]:
    """RMS norm of branch + residual; returns the normed value and the sum (without the sum for the last norm)."""
    if residual is None:
        return rms_norm(graph, branch, weight, epsilon), branch
    scale = graph.constant(weight[:], np.float32)
    normed = graph.name("normed")
    total = "" if last else graph.name("sum")
    graph.op(
        "SkipSimplifiedLayerNormalization", residual, branch, scale,
        outputs=[normed] if last else [normed, "", "", total], domain=CONTRIB, epsilon=epsilon,
    )  # fmt: skip
    return normed, total
