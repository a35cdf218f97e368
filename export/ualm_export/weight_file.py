"""`WeightFile`: the large tensors of a graph, in NAME.onnx.data beside it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

INLINE_BYTES = 1024
"""Tensors of fewer bytes stay in the graph itself."""

_SLAB_ELEMENTS = 1 << 24
_MAPPED_BYTES = 1 << 20  # minimum size of tensors that start at an offset which every system can map
_MAPPED_ALIGNMENT = 1 << 16
_ALIGNMENT = 64


class WeightFile:
    def __init__(self, graph: Path):
        """Opens the file of the graph at `graph`; an existing file is removed."""
        self._path = graph.with_name(graph.name + ".data")
        self._path.unlink(missing_ok=True)
        self._size = 0

    def tensor(self, name: str, dtype: np.dtype, shape: Sequence[int], parts: Iterable[np.ndarray]) -> TensorProto:
        """Stores a tensor whose bytes are the concatenated bytes of `parts`; returns the graph's initializer."""
        tensor = TensorProto(name=name, dims=shape)
        tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size < INLINE_BYTES:
            tensor.raw_data = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
            return tensor
        alignment = _MAPPED_ALIGNMENT if size >= _MAPPED_BYTES else _ALIGNMENT
        padding = -self._size % alignment
        offset = self._size + padding
        with open(self._path, "ab") as data:
            data.write(bytes(padding))
            for part in parts:
                data.write(np.ascontiguousarray(part).data.cast("B"))
        self._size = offset + size
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", self._path.name), ("offset", offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(text))
        return tensor


def slabs(value) -> Iterator[np.ndarray]:
    """Yields `value` as float32 arrays of consecutive rows, some 16 million elements each."""
    shape = value.shape
    if len(shape) < 2:
        yield np.asarray(value[...], np.float32)
        return
    rows = max(1, _SLAB_ELEMENTS // max(1, int(np.prod(shape[1:], dtype=np.int64))))
    for start in range(0, shape[0], rows):
        yield np.asarray(value[start : start + rows], np.float32)
