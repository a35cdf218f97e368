"""Feed-forward layers of a decoder."""

from dataclasses import dataclass
from typing import Protocol

from ..graph import GraphBuilder
from ..tensors import Prefixed
from .activation import ACTIVATIONS, LEAST, silu
from .shapes import Shapes, linear_shapes


class Mlp(Protocol):
    def shapes(self) -> Shapes:
        """Returns the shapes of the tensors by role."""

    def apply(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        """x [B, T, H] → [B, T, H]."""


@dataclass(frozen=True)
class GatedMlp:
    """down(silu(gate(x)) · up(x)), without biases."""

    hidden_size: int
    intermediate_size: int

    def shapes(self) -> Shapes:
        hidden = self.hidden_size
        inner = self.intermediate_size
        return (
            linear_shapes("gate", inner, hidden, bias=False)
            | linear_shapes("up", inner, hidden, bias=False)
            | linear_shapes("down", hidden, inner, bias=False)
        )

    def apply(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        gate = graph.linear(x, tensors["gate.weight"], name="gate_proj")
        up = graph.linear(x, tensors["up.weight"], name="up_proj")
        return graph.linear(graph.op("Mul", silu(graph, gate), up), tensors["down.weight"], name="down_proj")


@dataclass(frozen=True)
class PlainMlp:
    """down(activation(up(x))), without a gate and without biases."""

    hidden_size: int
    intermediate_size: int
    activation: str
    """One of `ACTIVATIONS`."""

    def shapes(self) -> Shapes:
        hidden = self.hidden_size
        inner = self.intermediate_size
        return linear_shapes("up", inner, hidden, bias=False) | linear_shapes("down", hidden, inner, bias=False)

    def apply(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        up = graph.linear(x, tensors["up.weight"], name="up_proj")
        inner = ACTIVATIONS[self.activation](graph, up)
        return graph.linear(inner, tensors["down.weight"], name="down_proj", least=LEAST[self.activation])
