"""Arrays of numpy, to and from memory of the C library.

numpy is imported here, when the first array is made: the command `ualm` and `import ualm` do without it.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_float, c_uint32, c_void_p
from typing import TYPE_CHECKING, Any

from . import _abi, _library

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Maximum number of channels: an array with more columns is taken for [channels, frames].
_MOST_CHANNELS = 256


def sound(samples: Any) -> npt.NDArray[np.float32]:
    """Returns samples as float32, [frames] or [frames, channels], in one piece."""
    import numpy as np

    array = np.asarray(samples)
    if array.dtype.kind != "f":
        raise TypeError(
            f"samples are {array.dtype}; expected floats in -1..=1 (16-bit integers: samples.astype(numpy.float32) / 32768)"
        )
    if array.ndim not in (1, 2):
        raise ValueError(f"samples have the shape {list(array.shape)}; expected [frames] or [frames, channels]")
    if array.ndim == 2 and not 1 <= array.shape[1] <= _MOST_CHANNELS:
        raise ValueError(
            f"samples have the shape {list(array.shape)}; expected [frames, channels] with 1..={_MOST_CHANNELS} channels: for "
            "[channels, frames] give samples.T"
        )
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, which the library refuses
        return np.ascontiguousarray(array, dtype=np.float32)


def borrow(samples: npt.NDArray[np.float32], rate: int) -> _abi.Samples:
    """Returns a view for the C library of samples as `sound` returns them."""
    channels = samples.shape[1] if samples.ndim == 2 else 1
    data = samples.ctypes.data_as(POINTER(c_float)) if samples.size else None
    return _abi.Samples(data, len(samples), channels, rate)


def copy_samples(samples: _abi.Samples) -> npt.NDArray[np.float32]:
    """Copies samples of the library: [frames], or [frames, channels] of more than one channel."""
    import numpy as np

    address = ctypes.cast(samples.data, c_void_p).value or 0
    flat = _copy(address, samples.frames * samples.channels, c_float, np.float32)
    return flat.reshape(samples.frames, samples.channels) if samples.channels > 1 else flat


def copy_ids(data: Any, rows: int, columns: int) -> npt.NDArray[np.uint32]:
    """Copies ids, shape [rows, columns]."""
    import numpy as np

    address = ctypes.cast(data, c_void_p).value or 0
    return _copy(address, rows * columns, c_uint32, np.uint32).reshape(rows, columns)


def take_matrix(name: str, handle: Any, ctype: Any) -> npt.NDArray[Any]:
    """Copies the numbers of a handle, shape [rows, columns], and frees it; `name` is the function that returns them."""
    import numpy as np

    with handle as pointer:
        address, rows, columns = _library.matrix(name, pointer)
        kind = np.float32 if ctype is c_float else np.uint32
        copied = _copy(address, rows * columns, ctype, kind).reshape(rows, columns)
    handle.close()
    return copied


def _copy(address: int, count: int, ctype: Any, kind: Any) -> npt.NDArray[Any]:
    import numpy as np

    if count == 0:
        return np.empty(0, dtype=kind)
    return np.frombuffer((ctype * count).from_address(address), dtype=kind).copy()


def ids(values: Any, name: str) -> npt.NDArray[np.uint32]:
    """Returns ids as uint32, shape [rows, columns], in one piece."""
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} are {array.dtype}; expected integers")
    if array.ndim != 2:
        raise ValueError(f"{name} have the shape {list(array.shape)}; expected two dimensions")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= 1 << 32):
        raise ValueError(f"{name} are in {array.min()}..={array.max()}; expected 0..={(1 << 32) - 1}")
    return np.ascontiguousarray(array, dtype=np.uint32)


def pointer(array: npt.NDArray[np.uint32]) -> Any:
    """Returns the address of ids for a call."""
    return array.ctypes.data_as(POINTER(c_uint32))
