"""A stack of causal transformer layers with a cache."""

from dataclasses import dataclass

from ..graph import INT32, GraphBuilder
from ..tensors import Prefixed
from .attention import CachedAttention
from .mlp import Mlp
from .norm import add_and_rms_norm
from .shapes import Shapes, within


@dataclass(frozen=True)
class DecoderStack:
    """Layers of attention and feed-forward after RMS norms, and a last norm."""

    layers: int
    attention: CachedAttention
    mlp: Mlp
    epsilon: float
    """Epsilon of the norms."""

    @property
    def hidden_size(self) -> int:
        return self.attention.hidden_size

    def shapes(self) -> Shapes:
        layer = {"attention_norm.weight": (self.hidden_size,)} | within("attention.", self.attention.shapes())
        layer |= {"mlp_norm.weight": (self.hidden_size,)} | within("mlp.", self.mlp.shapes())
        shapes = {}
        for i in range(self.layers):
            shapes |= within(f"layers.{i}.", layer)
        return shapes | {"norm.weight": (self.hidden_size,)}

    def apply(self, graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
        """x [B, T, H] → [B, T, H] after the last norm; declares the inputs of the layers' attention."""
        graph.input("seqlens_k", INT32, ["batch"])
        graph.input("total_sequence_length", INT32, [])
        rotary = [graph.constant(table) for table in self.attention.rotary_tables()]
        branch = x
        residual = None
        for i in range(self.layers):
            with graph.scope(f"layers.{i}"):
                layer = tensors.within(f"layers.{i}.")
                normed, residual = self._norm(graph, branch, residual, layer["attention_norm.weight"])
                branch = self.attention.apply(graph, i, normed, layer.within("attention."), rotary)
                normed, residual = self._norm(graph, branch, residual, layer["mlp_norm.weight"])
                branch = self.mlp.apply(graph, normed, layer.within("mlp."))
        hidden, _ = self._norm(graph, branch, residual, tensors["norm.weight"], last=True)
        return hidden

    def declare_cache(self, graph: GraphBuilder) -> None:
        """Declares the outputs of the layers' attention."""
        self.attention.declare_cache(graph, self.layers)

    def _norm(self, graph: GraphBuilder, branch: str, residual: str | None, weight, last: bool = False) -> tuple[str, str]:
        return add_and_rms_norm(graph, branch, residual, weight, self.epsilon, last)
