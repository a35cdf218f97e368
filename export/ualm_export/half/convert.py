"""Converts a graph from float32 to float16 arithmetic: `choose`, then `write`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, external_data_helper, helper, numpy_helper

from ..errors import ExportError
from ..weight_file import WeightFile, slabs
from .operators import ARITHMETIC, HALF, LAYOUT, LOGARITHMS, PRODUCTS, SEARCHES

_GREATEST = float(np.finfo(np.float16).max)
LARGEST = _GREATEST / 4
"""Values with larger measured magnitudes stay in float32: other inputs may make them larger."""

_SMALLEST = float(np.finfo(np.float16).smallest_normal)
_LOST = 1e-3
"""Maximum share of a weight below float16's smallest normal number, which some devices treat as zero."""
_HALF = "/half"
"""Suffix of the names of values in float16."""
_CACHE = ("past_key_values.", "present.")


@dataclass
class Source:
    """A graph to convert: its folder, and the types and magnitudes of its values."""

    model: onnx.ModelProto
    folder: Path
    types: Mapping[str, int]
    largest: Mapping[str, float]

    def array(self, tensor: TensorProto) -> np.ndarray:
        """Returns the numbers of an initializer; large ones are mapped into memory."""
        if tensor.data_location != TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor)
        place = external_data_helper.ExternalDataInfo(tensor)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.memmap(self.folder / place.location, dtype, "r", place.offset or 0, tuple(tensor.dims))


@dataclass
class Form:
    """The nodes of a graph, by name, that compute in float16."""

    halves: set[str]
    products: int
    in_half: int
    """Products that compute in float16, of all `products`."""
    has_cache: bool


def choose(source: Source, products: set[str]) -> Form:
    """Returns the form that computes in float16 everything that float16 can hold; its products are the operators `products`.

    Refuses a graph whose attention with a cache needs float32.
    """
    nodes = source.model.graph.node
    attributes = [attribute for node in nodes for attribute in node.attribute]
    if any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in attributes):
        raise ExportError("it has branches or loops; expected a graph without them")
    halves = _Kinds(source, products).halves()
    for node in nodes:
        if node.op_type == "GroupQueryAttention" and node.name not in halves:
            raise ExportError(f"its attention ({node.name}) has values beyond float16's limit {LARGEST:.0f}")
    found = [node.name in halves for node in nodes if node.op_type in PRODUCTS]
    has_cache = any(node.op_type == "GroupQueryAttention" for node in nodes)
    return Form(halves, len(found), sum(found), has_cache)


class _Kinds:
    """Chooses the nodes that compute in float16."""

    def __init__(self, source: Source, products: set[str]):
        self.source = source
        self.types = source.types
        self.operators = HALF - PRODUCTS | products
        self.nodes = [node for node in source.model.graph.node if self._floats(node.input) or self._floats(node.output)]
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.weights = {tensor.name: tensor for tensor in source.model.graph.initializer}
        self.chosen = self._chosen()
        self.users: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def halves(self) -> set[str]:
        """Returns the names of the nodes in float16."""
        kept = {node.name for node in self.nodes if not self._may_be_half(node)}
        kept |= self._before(LOGARITHMS, lambda node: True)
        kept |= self._before(SEARCHES, lambda node: node.op_type in ARITHMETIC | LAYOUT)
        self._spread(kept)
        self._prune(kept)
        return {node.name for node in self.nodes if node.name not in kept}

    def _floats(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.types.get(name) == TensorProto.FLOAT]

    def _may_be_half(self, node: NodeProto) -> bool:
        """Returns whether float16 supports the operator, and holds its measured values and its weights."""
        if node.op_type == "Cast":
            return self.types.get(node.input[0]) == TensorProto.BOOL
        values = self._floats([*node.input, *node.output])
        return node.op_type in self.operators and all(map(self._fits, values))

    def _fits(self, value: str) -> bool:
        if value in self.weights:
            return fits_half(self.source.array(self.weights[value]))
        return self.source.largest[value] <= (_GREATEST if value in self.chosen else LARGEST)

    def _chosen(self) -> set[str]:
        """Returns values selected from weights, which are never larger than these."""
        chosen = set(self.weights)
        for node in self.nodes:
            if node.op_type in LAYOUT | {"Where"} and all(name in chosen for name in self._floats(node.input)):
                chosen.update(node.output)
        return chosen

    def _before(self, operators: set[str], is_passed: Callable[[NodeProto], bool]) -> set[str]:
        """Returns the nodes on the way to `operators`, back to and including the first ones that `is_passed` excludes."""
        found: set[str] = set()
        waiting = [name for node in self.nodes if node.op_type in operators for name in node.input]
        while waiting:
            node = self.producer.get(waiting.pop())
            if node is not None and node.name not in found:
                found.add(node.name)
                waiting += node.input if is_passed(node) else []
        return found

    def _spread(self, kept: set[str]) -> None:
        """Moves arithmetic beside a node in float32 to float32 as well, so that no value is rounded between them."""
        waiting = [node for node in self.nodes if node.name in kept and not self._is_widening(node)]
        while waiting:
            node = waiting.pop()
            beside = [self.producer[name] for name in self._floats(node.input) if name in self.producer]
            beside += [user for name in self._floats(node.output) for user in self.users.get(name, [])]
            for other in beside:
                if other.op_type in ARITHMETIC | LAYOUT and other.name not in kept:
                    kept.add(other.name)
                    waiting.append(other)

    def _is_widening(self, node: NodeProto) -> bool:
        """Returns whether the node converts float16 to float32: float16 then holds its values."""
        return node.op_type == "Cast" and self.types.get(node.input[0]) == TensorProto.FLOAT16

    def _prune(self, kept: set[str]) -> None:
        """Moves nodes between two that are in float32 to float32: only a product is worth the conversions on both sides."""
        halves = {name for node in self.nodes if node.name not in kept for name in node.output} | self.chosen
        waiting = True
        while waiting:
            waiting = False
            for node in self.nodes:
                if node.name in kept or node.op_type in PRODUCTS:
                    continue
                given = [name for name in self._floats(node.input) if name not in self.weights]
                users = [user for name in self._floats(node.output) for user in self.users.get(name, [])]
                is_fed = not given or any(name in halves for name in given)
                if not is_fed or all(user.name in kept for user in users):
                    kept.add(node.name)
                    halves.difference_update(node.output)
                    waiting = True


def fits_half(weight: np.ndarray) -> bool:
    """Returns whether float16 holds the numbers of `weight`, except a negligible part."""
    largest = 0.0
    lost = 0.0
    energy = 0.0
    for slab in slabs(weight):
        magnitudes = np.abs(slab)
        largest = max(largest, float(magnitudes.max(initial=0.0)))
        lost += float(np.square(magnitudes[magnitudes < _SMALLEST], dtype=np.float64).sum())
        energy += float(np.square(magnitudes, dtype=np.float64).sum())
    return largest <= _GREATEST and lost <= _LOST**2 * energy


class _Writer:
    """Writes the converted nodes, with a Cast wherever a value is needed in another type."""

    def __init__(self, source: Source, halves: set[str]):
        self.source = source
        self.halves = halves
        self.types = source.types
        self.weights = {tensor.name: tensor for tensor in source.model.graph.initializer}
        self.nodes: list[NodeProto] = []
        self.half_of: dict[str, str] = {}
        """Names of values in float16, by the names of the values."""
        self.floats = {value.name for value in source.model.graph.input}
        """Values that exist under their own names."""
        self.new: dict[str, TensorProto] = {}

    def write(self) -> tuple[onnx.ModelProto, dict[str, TensorProto]]:
        """Returns the graph, and its new weights by their new names, unconverted."""
        source = self.source.model
        for value in source.graph.input:
            if value.name.startswith(_CACHE):
                self.half_of[value.name] = value.name
        for node in source.graph.node:
            self._add(node)
        for value in source.graph.output:
            if not value.name.startswith(_CACHE):
                self._float(value.name)
        result = onnx.ModelProto()
        result.CopyFrom(source)
        for field in ("node", "initializer", "value_info"):
            result.graph.ClearField(field)
        needed = _needed(self.nodes, [value.name for value in result.graph.output])
        result.graph.node.extend(needed)
        for value in [*result.graph.input, *result.graph.output]:
            if value.name.startswith(_CACHE):
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        used = {name for node in needed for name in node.input}
        result.graph.initializer.extend(tensor for tensor in source.graph.initializer if tensor.name in used)
        return result, {name: tensor for name, tensor in self.new.items() if name in used}

    def _add(self, node: NodeProto) -> None:
        if node.op_type == "Cast" and self.types.get(node.input[0]) == TensorProto.FLOAT16 and _to(node) == TensorProto.FLOAT:
            self.half_of[node.output[0]] = node.input[0]
        written = NodeProto()
        written.CopyFrom(node)
        if node.name in self.halves:
            written.input[:] = [self._half(name) if self._is_float(name) else name for name in node.input]
            written.output[:] = [self._half_output(name) if self._is_float(name) else name for name in node.output]
            for attribute in written.attribute:
                if attribute.name == "accuracy_level":
                    attribute.i = 0  # accuracy level 0: activations are not additionally rounded to 8 bits
                if node.op_type == "Cast" and attribute.name == "to":
                    attribute.i = TensorProto.FLOAT16
        else:
            for name in filter(self._is_float, node.input):
                self._float(name)
            self.floats.update(node.output)
        self.nodes.append(written)

    def _is_float(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def _half_output(self, name: str) -> str:
        """Returns the name of an output in float16: a cache keeps its own name."""
        self.half_of[name] = name if name.startswith(_CACHE) else name + _HALF
        return self.half_of[name]

    def _half(self, name: str) -> str:
        """Returns the value in float16: weights are rounded here, other values get one Cast."""
        if name not in self.half_of:
            half = name + _HALF
            if name in self.weights:
                self.new[half] = self.weights[name]
            else:
                self.nodes.append(helper.make_node("Cast", [name], [half], half, to=TensorProto.FLOAT16))
            self.half_of[name] = half
        return self.half_of[name]

    def _float(self, name: str) -> None:
        """Provides the value in float32 under its own name."""
        if name not in self.floats and name not in self.weights:
            self.nodes.append(helper.make_node("Cast", [self.half_of[name]], [name], f"{name}/float", to=TensorProto.FLOAT))
            self.floats.add(name)


def _to(node: NodeProto) -> int:
    return next(attribute.i for attribute in node.attribute if attribute.name == "to")


def _needed(nodes: list[NodeProto], outputs: list[str]) -> list[NodeProto]:
    """Returns the nodes that lead to `outputs`, in order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def write(path: Path, source: Source, form: Form) -> None:
    """Writes a form of the graph to `path`, with its new weights beside it; weights shared with the graph stay in the graph's file.

    Inputs and outputs stay float32, except the cache of attention.
    """
    model, weights = _Writer(source, form.halves).write()
    data = WeightFile(path)
    for name, tensor in weights.items():
        rows = (slab.astype(np.float16) for slab in slabs(source.array(tensor)))
        model.graph.initializer.append(data.tensor(name, np.dtype(np.float16), tuple(tensor.dims), rows))
    path.write_bytes(model.SerializeToString(deterministic=True))


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a form that rounds on the CPU as on a GPU: the CPU computes many operators in float32 and would skip the rounding between two."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.ClearField("node")
    for node in model.graph.node:
        added = NodeProto()
        added.CopyFrom(node)
        added.output[:] = [name + "/exact" if name.endswith(_HALF) else name for name in node.output]
        result.graph.node.append(added)
        for name, exact in zip(node.output, added.output):
            if name != exact:
                result.graph.node.append(helper.make_node("Identity", [exact], [name], f"{name}/rounded"))
    return result
