"""`GraphBuilder`: writes one ONNX graph, its weights streamed to disk as they are added.

    graph = GraphBuilder(folder / "head.onnx", Storage(half=True, bits=8))
    x = graph.input("hidden_states", FLOAT, ["rows", 64])
    y = graph.linear(x, weight)                       # weight [out, in], an array or a lazy tensor
    graph.output("logits", FLOAT, ["rows", 100], y)
    graph.save()

Values are strings, the names of ONNX values. A *weight* is any two- or more-dimensional float tensor
that may be stored in fewer bits (see `Storage`); a *constant* is stored exactly. Weights may be numpy
arrays or anything with `shape` and row slicing that gives float32 arrays (`tensors.Tensor`): these are
read, converted and written in slabs of rows, so that memory holds one slab at a time. Tensors of a
kilobyte and more go to `NAME.onnx.data`, beside the graph, at aligned offsets that can be memory-mapped.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from onnx import TensorProto

from . import __version__
from .error_feedback import ErrorFeedback
from .quantize import BLOCK, QuantizedRows, blocks_of, fitting_block, quantize_rows
from .row_products import RowProducts
from .weight_file import INLINE_BYTES, WeightFile, slabs

FLOAT = TensorProto.FLOAT
DOUBLE = TensorProto.DOUBLE
INT32 = TensorProto.INT32
INT64 = TensorProto.INT64
BOOL = TensorProto.BOOL

OPSET = 20
IR_VERSION = 10
CONTRIB = "com.microsoft"


class Inputs(Protocol):
    """Statistics of the inputs of a linear layer of K features."""

    def moments(self) -> np.ndarray:
        """Returns the mean of x xᵀ over the inputs x, float32 [K, K]."""


@dataclass(frozen=True)
class Storage:
    """The storage of a graph's weights, and its arithmetic.

    half: weights are float16, widened by a Cast that ONNX Runtime folds when it loads the graph.
    bits: linear layers become MatMulNBits of 4 or 8 bits; None keeps them float.
    block: maximum number of features that share a scale.
    inputs: statistics of linear layers, by scoped name; these layers are rounded with `ErrorFeedback`.
    shortlist: storage of a head of many columns, whose weights are stored twice; see `blocks.shortlist`.
    by_rows: linear layers of 8 bits have scales for whole rows instead of blocks; see `RowProducts`.
    in_blocks: scoped names of layers that keep blocks in spite of `by_rows`.
    """

    half: bool = False
    bits: int | None = None
    block: int = BLOCK
    inputs: Mapping[str, Inputs] = field(default_factory=dict, compare=False)
    by_rows: bool = False
    in_blocks: frozenset[str] = frozenset()
    shortlist: "Storage | None" = None


class GraphBuilder:
    def __init__(self, path: Path, storage: Storage = Storage()):
        self.path = Path(path)
        self.storage = storage
        self._weights = WeightFile(self.path)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple, str] = {}
        self._scopes: list[str] = []
        self._row_products = RowProducts(self)
        self._count = 0

    # --- boundary -------------------------------------------------------------------------------

    def input(self, name: str, element_type: int, shape: Sequence[int | str]) -> str:
        """Declares an input; a string in `shape` is a symbolic size."""
        self._inputs.append(onnx.helper.make_tensor_value_info(name, element_type, shape))
        return name

    def output(self, name: str, element_type: int, shape: Sequence[int | str], value: str | None = None):
        """Declares an output; `value` is its source if it has another name."""
        if value is not None and value != name:
            self.op("Identity", value, outputs=[name])
        self._outputs.append(onnx.helper.make_tensor_value_info(name, element_type, shape))

    def save(self) -> Path:
        """Writes the graph; its large tensors are already in their file."""
        graph = onnx.helper.make_graph(self._nodes, self.path.stem, self._inputs, self._outputs, self._initializers)
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(CONTRIB, 1)],
            ir_version=IR_VERSION,
            producer_name="ualm-export",
            producer_version=__version__,
        )
        self.path.write_bytes(model.SerializeToString(deterministic=True))
        return self.path

    # --- names ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes all names that are added inside the `with` block."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def name(self, kind: str) -> str:
        """Returns a fresh name in the current scope, for an output that is named explicitly."""
        self._count += 1
        return "/".join([*self._scopes, f"{kind}_{self._count}"])

    # --- tensors --------------------------------------------------------------------------------

    def constant(self, value, dtype=None) -> str:
        """Adds a tensor stored exactly; equal constants are stored once.

        Python integers become int64, Python floats float32.
        """
        array = np.asarray(value, dtype)
        if dtype is None and array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.nbytes < INLINE_BYTES else None
        if key is not None and key in self._constants:
            return self._constants[key]
        name = self.name("constant")
        self._initializer(name, array.dtype, array.shape, [array])
        if key is not None:
            self._constants[key] = name
        return name

    def weight(self, value, name: str = "weight") -> str:
        """Adds a float tensor stored as `storage` says (never quantized: see `linear`); returns it in float32."""
        stored, is_half = self._float_weight(value, name)
        return self.op("Cast", stored, to=FLOAT) if is_half else stored

    def embedding(self, indices: str, table, name: str = "table") -> str:
        """Looks up rows of `table` [entries, features] at integer `indices`: [..., features], float32."""
        stored, is_half = self._float_weight(table, name)
        rows = self.op("Gather", stored, indices)
        return self.op("Cast", rows, to=FLOAT) if is_half else rows

    def signed_bytes(self, weight) -> tuple[str, str]:
        """Adds rows of `weight` [N, K] as int8 [N, K], with the scale of each row, float32 [N]."""
        scales = np.empty(weight.shape[0], np.float32)

        def values():
            start = 0
            for slab in slabs(weight):
                largest = np.abs(slab).max(-1, keepdims=True)
                scales[start : start + len(slab)] = largest[:, 0] / 127
                start += len(slab)
                yield np.rint(slab * np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)).astype(np.int8)

        name = self.name("weight")
        self._initializer(name, np.dtype(np.int8), weight.shape, values())
        return name, self.constant(scales)

    def _float_weight(self, value, name: str) -> tuple[str, bool]:
        """Stores a weight as float16 if `storage` says so and its magnitudes allow it, else as float32."""
        name = self.name(name)
        is_half = self.storage.half and len(value.shape) >= 2 and _fits_half(value)
        dtype = np.dtype(np.float16 if is_half else np.float32)
        self._initializer(name, dtype, value.shape, (slab.astype(dtype) for slab in slabs(value)))
        return name, is_half

    def _initializer(self, name: str, dtype: np.dtype, shape: Sequence[int], parts) -> None:
        """Adds a tensor whose bytes are the concatenated bytes of `parts`."""
        self._initializers.append(self._weights.tensor(name, dtype, shape, parts))

    # --- operators ------------------------------------------------------------------------------

    def op(self, op_type: str, *inputs: str, outputs: int | Sequence[str] = 1, domain: str = "", **attributes):
        """Adds a node; returns its output, or a list of outputs if `outputs` is a number above one or a list of names.

        An absent optional input or output is the empty string.
        """
        name = self.name(op_type)
        names = [f"{name}:{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self._nodes.append(onnx.helper.make_node(op_type, inputs, names, name, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def add(self, a: str, b: str) -> str:
        return self.op("Add", a, b)

    def transpose(self, x: str, order: Sequence[int]) -> str:
        return self.op("Transpose", x, perm=order)

    def gelu(self, x: str) -> str:
        """The exact GELU, computed with the error function."""
        return self.op("Gelu", x)

    def linear(
        self, x: str, weight, bias=None, name: str = "linear", rank: int = 3, quantize: bool = True,
        least: float | None = None,
    ) -> str:  # fmt: skip
        """x · weightᵀ + bias for weight [out, in]; x [..., in] of `rank` dimensions, no element below `least` if it is given.

        With `storage.bits` (and `quantize`) the weight is quantized, by rows or in blocks along its inputs. Matrices
        (`rank` 2) use Gemm, which reads the weight untransposed, slab by slab.
        """
        with self.scope(name):
            if quantize and self.storage.by_rows and "/".join(self._scopes) not in self.storage.in_blocks:
                y = self._row_products.product(x, weight, self._rounding(), least)
            elif quantize and self.storage.bits:
                y = self._quantized_product(x, weight)
            elif rank == 2:
                y = self.op("Gemm", x, self.weight(weight), transB=1)
            else:
                y = self.op("MatMul", x, self.weight(np.ascontiguousarray(weight[:].T)))
            return y if bias is None else self.add(y, self.constant(bias[:], np.float32))

    def _rounding(self) -> Callable[[np.ndarray, int, int], QuantizedRows]:
        """Returns the quantizer of the current linear layer: with error feedback if its inputs are known."""
        inputs = self.storage.inputs.get("/".join(self._scopes))
        return ErrorFeedback(inputs.moments()).quantize_rows if inputs else quantize_rows

    def _quantized_product(self, x: str, weight) -> str:
        """x · weightᵀ by MatMulNBits; activations are rounded to int8 block by block (accuracy level 4) on the CPU."""
        bits = self.storage.bits
        rows, features = weight.shape
        block = fitting_block(features, self.storage.block)
        blocks = blocks_of(features, block)
        scales = np.empty((rows, blocks), np.float32)
        quantize = self._rounding()

        def values():
            start = 0
            for slab in slabs(weight):
                quantized = quantize(slab, bits, block)
                scales[start : start + len(slab)] = quantized.scales
                start += len(slab)
                yield quantized.values

        values_name = self.name("weight")
        scales_name = self.name("scales")
        self._initializer(values_name, np.dtype(np.uint8), (rows, blocks, block * bits // 8), values())
        self._initializer(scales_name, scales.dtype, scales.shape, [scales])
        return self.op(
            "MatMulNBits", x, values_name, scales_name, domain=CONTRIB,
            K=features, N=rows, bits=bits, block_size=block, accuracy_level=4,
        )  # fmt: skip

    def conv(
        self, x: str, weight, bias=None, *,
        stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1, groups: int = 1,
    ) -> str:  # fmt: skip
        """One-dimensional convolution of x [B, channels, T]; weight [out, channels / groups, kernel]."""
        before, after = (padding, padding) if isinstance(padding, int) else padding
        inputs = [x, self.weight(weight[:])] + ([] if bias is None else [self.constant(bias[:])])
        return self.op("Conv", *inputs, strides=[stride], pads=[before, after], dilations=[dilation], group=groups)

    def conv_transpose(self, x: str, weight, bias=None, *, stride: int, padding: int, output_padding: int) -> str:
        """One-dimensional transposed convolution of x [B, channels, T]; weight [channels, out, kernel].

        If weights are rounded anyway, a kernel of whole strides is written as a plain convolution, which ONNX Runtime
        runs faster; its sums have another order.
        """
        if self.storage.half and weight.shape[2] % stride == 0 and output_padding <= padding:
            return self._phases(x, weight[:], bias, stride, (padding, padding - output_padding))
        inputs = [x, self.weight(weight[:])] + ([] if bias is None else [self.constant(bias[:])])
        return self.op(
            "ConvTranspose", *inputs, strides=[stride], pads=[padding, padding], output_padding=[output_padding]
        )

    def _phases(self, x: str, weight: np.ndarray, bias, stride: int, cut: tuple[int, int]) -> str:
        """A transposed convolution, less `cut` samples at both ends: computes all phases of an output at once, then interleaves them."""
        channels, out, kernel = weight.shape
        taps = kernel // stride
        taken = weight.reshape(channels, out, taps, stride)[:, :, ::-1].transpose(3, 1, 0, 2)
        taken = np.ascontiguousarray(taken.reshape(stride * out, channels, taps))
        x = self.conv(x, taken, None if bias is None else np.tile(bias[:], stride), padding=taps - 1)
        x = self.transpose(self.op("Reshape", x, self.constant([0, stride, out, -1])), [0, 2, 3, 1])
        x = self.op("Reshape", x, self.constant([0, out, -1]))
        start = cut[0]
        end = -cut[1] if cut[1] else np.iinfo(np.int64).max
        return self.op("Slice", x, self.constant([start]), self.constant([end]), self.constant([2]))

    def layer_norm(self, x: str, weight, bias, epsilon: float = 1e-5) -> str:
        """Layer normalization over the last dimension."""
        return self.op(
            "LayerNormalization", x, self.constant(weight[:]), self.constant(bias[:]), axis=-1, epsilon=epsilon
        )


def _fits_half(value) -> bool:
    """Returns whether float16 holds every element, the largest of them in full precision."""
    smallest = float(np.finfo(np.float16).smallest_normal)
    greatest = float(np.finfo(np.float16).max)
    largest = max(float(np.abs(slab).max(initial=0.0)) for slab in slabs(value))
    return largest == 0 or smallest <= largest <= greatest
