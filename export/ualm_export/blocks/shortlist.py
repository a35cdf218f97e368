"""Logits of many columns: 4-bit weights for nearly all, 8-bit weights for the best candidates.

A step reads all weights of a head, half as many bytes with 4 bits. Only the largest logits are sampled, so only they need
be accurate: the rows of the candidates are gathered from a second copy of the weights, of which a step reads little.
"""

from ..graph import FLOAT, GraphBuilder

CANDIDATES = 256
LEAST_COLUMNS = 1 << 15
"""Minimum columns: smaller heads do not become faster."""


def shortlisted_logits(graph: GraphBuilder, x: str, weight) -> str:
    """x [rows, K] · weightᵀ for weight [columns, K]: [rows, columns]; `graph` stores linear layers in 4 bits."""
    rough = graph.linear(x, weight, name="lm_head", rank=2)
    with graph.scope("candidates"):
        _, best = graph.op("TopK", rough, graph.constant([CANDIDATES]), outputs=2, axis=-1, sorted=0)
        table, scales = graph.signed_bytes(weight)
        rows = graph.op("Cast", graph.op("Gather", table, best), to=FLOAT)
        last = graph.constant([2])
        products = graph.op("Squeeze", graph.op("MatMul", rows, graph.op("Unsqueeze", x, last)), last)
        exact = graph.op("Mul", products, graph.op("Gather", scales, best))
        return graph.op("ScatterElements", rough, best, exact, axis=-1)
