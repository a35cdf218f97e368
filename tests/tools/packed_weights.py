"""Arrays in few bytes: float32 rounded to 24 bits, one plane for each byte, deflated in one .npz."""

from pathlib import Path

import numpy as np


def rounded(array: np.ndarray) -> np.ndarray:
    """float32 with the 8 lowest bits of the mantissa rounded away: a relative error of at most 2^-16."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x80) & np.uint32(0xFFFFFF00)).view(np.float32)


def pack(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Stores float arrays, rounded, as byte planes [3, …]; integers as they are."""
    planes = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.integer):
            planes[name] = array
        else:
            bits = rounded(array).view(np.uint32)
            planes[name] = np.stack([(bits >> shift).astype(np.uint8) for shift in (24, 16, 8)])
    np.savez_compressed(path, **planes)


def unpack(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(path) as packed:
        for name in packed.files:
            array = packed[name]
            if array.dtype == np.uint8:
                high, middle, low = array.astype(np.uint32)
                array = (high << 24 | middle << 16 | low << 8).view(np.float32)
            arrays[name] = array
    return arrays
