"""Residual vector quantization by Euclidean distance, as graphs."""

import numpy as np

from ..graph import GraphBuilder


def encode(graph: GraphBuilder, x: str, codebooks: list) -> str:
    """x [B, F, D] → codes int64 [B, S, F]; codebooks: S tables [K, D].

    Each level chooses the entry nearest to the remainder of the levels before it: the largest x·e − |e|²/2.
    """
    levels = []
    for level, codebook in enumerate(codebooks):
        with graph.scope(f"quantizers.{level}"):
            table = graph.weight(codebook, "codebook")
            offsets = -0.5 * np.square(codebook[:].astype(np.float64)).sum(1)
            scores = graph.op("MatMul", x, graph.transpose(table, [1, 0]))
            scores = graph.add(scores, graph.constant(offsets.astype(np.float32)))
            codes = graph.op("ArgMax", scores, axis=-1, keepdims=0)
            levels.append(graph.op("Unsqueeze", codes, graph.constant([1])))
            if level + 1 < len(codebooks):
                x = graph.op("Sub", x, graph.op("Gather", table, codes))
    return graph.op("Concat", *levels, axis=1)


def decode(graph: GraphBuilder, codes: str, codebooks: list[np.ndarray]) -> str:
    """codes int64 [B, S, F] → the sum of the chosen entries, [B, D, F]; codebooks: S tables [K, D]."""
    offsets = np.cumsum([0, *(len(codebook) for codebook in codebooks[:-1])], dtype=np.int64)
    indices = graph.add(codes, graph.constant(offsets[None, :, None]))
    entries = graph.embedding(indices, np.concatenate(codebooks), "codebooks")
    summed = graph.op("ReduceSum", entries, graph.constant([1]), keepdims=0)
    return graph.transpose(summed, [0, 2, 1])
