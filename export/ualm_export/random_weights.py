"""Random weights of any size, generated as they are read: for packages that measure speed, and for tests."""

import math
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from .tensors import Tensor

_BLOCK_ELEMENTS = 1 << 20


class RandomTensors(Mapping[str, Tensor]):
    """Tensors of the given shapes. The same seed and name give the same numbers, regardless of which rows are read.

    Matrices preserve the magnitude of their inputs; norms are near one, biases near zero. Tensors whose names end with one of
    `tables` are looked up, and have magnitude one. Row 0 of the tensor `zero_row` is zero.
    """

    def __init__(
        self, shapes: dict[str, tuple[int, ...]], seed: int = 0, tables: tuple[str, ...] = (), zero_row: str | None = None
    ):
        self._shapes = shapes
        self._seed = seed
        self._tables = tables
        self._zero_row = zero_row

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        return Tensor(shape, lambda start, stop: self._rows(name, shape, start, stop))

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def _rows(self, name: str, shape: tuple[int, ...], start: int, stop: int) -> np.ndarray:
        width = math.prod(shape[1:])
        height = max(1, _BLOCK_ELEMENTS // max(1, width))
        mean, deviation = self._distribution(name, shape)
        pieces = []
        for block in range(start // height, -(-stop // height)):
            generator = np.random.default_rng([self._seed, zlib.crc32(name.encode()), block])
            rows = min(height, shape[0] - block * height)
            values = generator.standard_normal((rows, *shape[1:]), np.float32)
            values *= np.float32(deviation)
            values += np.float32(mean)
            if block == 0 and name == self._zero_row:
                values[0] = 0
            first = block * height
            pieces.append(values[max(start - first, 0) : stop - first])
        return np.concatenate(pieces) if pieces else np.empty((0, *shape[1:]), np.float32)

    def _distribution(self, name: str, shape: tuple[int, ...]) -> tuple[float, float]:
        """Returns mean and standard deviation for the kind of tensor."""
        if name.endswith(("running_var", "snake1.alpha", "snake2.alpha")):
            return 1.0, 0.02
        if len(shape) < 2:
            return (1.0 if "norm" in name and name.endswith("weight") else 0.0), 0.05
        if name.endswith(self._tables):
            return 0.0, 1.0
        return 0.0, 1.0 / math.sqrt(math.prod(shape[1:]))
