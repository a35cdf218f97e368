"""Rewrites graphs of earlier exports: attention adds masks to its scores instead of using the operator's mask of keys."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .blocks.attention import MASKED
from .errors import ExportError

# The indices of inputs of MultiHeadAttention.
_MASK = 4
_BIAS = 5


def with_added_masks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy of `model` whose attention adds masks to its scores. Nothing else changes, and no weight is read.

    Refuses a model without masks of keys, and one whose masks do not come from comparisons, unlike the exporter's.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention" and _mask_of(node)]
    if not attention:
        raise ExportError("no attention of the graph has a mask of keys")
    added = {mask: f"{mask}/added" for mask in map(_mask_of, attention)}
    for node in attention:
        added_mask = added[_mask_of(node)]
        node.input[_MASK] = ""
        del node.input[_BIAS:]
        node.input.append(added_mask)
    nodes = list(graph.node)
    for mask, name in added.items():
        index, cast = next(((i, node) for i, node in enumerate(nodes) if mask in node.output), (None, None))
        compared = next((node for node in nodes if cast is not None and cast.input[0] in node.output), None)
        if cast is None or cast.op_type != "Cast" or compared is None or compared.op_type != "Less":
            raise ExportError(f"the mask {mask} does not come from a comparison")
        if any(mask in node.input for node in nodes):
            raise ExportError(f"the mask {mask} has another use than attention")
        positions = _last_dimension(graph, compared.input[0])
        nodes[index : index + 1] = _nodes(graph, compared.output[0], name, positions)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _mask_of(node: onnx.NodeProto) -> str:
    """Returns the node's mask of keys, or "". Refuses a node with both kinds of masks: the exporter writes none."""
    if len(node.input) > _BIAS and node.input[_MASK]:
        raise ExportError(f"the attention {node.name} has a mask of keys and another one")
    return node.input[_MASK] if len(node.input) > _MASK else ""


def _last_dimension(graph: onnx.GraphProto, name: str) -> int:
    for tensor in graph.initializer:
        if tensor.name == name and tensor.dims:
            return tensor.dims[-1]
    raise ExportError(f"{name} is not a constant of the graph")


def _nodes(graph: onnx.GraphProto, inside: str, name: str, positions: int) -> list[onnx.NodeProto]:
    """Returns the nodes of `blocks.attention.attention_mask`; adds constants to `graph`."""

    def constant(kind: str, value) -> str:
        graph.initializer.append(numpy_helper.from_array(value, f"{name}/{kind}"))
        return f"{name}/{kind}"

    kept = constant("kept", np.float32(0))
    masked = constant("masked", np.float32(MASKED))
    axes = constant("axes", np.array([1, 2]))
    shape = constant("shape", np.array([1, 1, positions, 1]))
    scores = f"{name}/scores"
    unsqueezed = f"{name}/unsqueezed"
    return [
        helper.make_node("Where", [inside, kept, masked], [scores], f"{name}/Where"),
        helper.make_node("Unsqueeze", [scores, axes], [unsqueezed], f"{name}/Unsqueeze"),
        helper.make_node("Expand", [unsqueezed, shape], [name], f"{name}/Expand"),
    ]
