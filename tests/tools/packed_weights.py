"""Arrays in few bytes: float32, mostly rounded to 24 bits, one plane for each byte, deflated in one .npz."""

from pathlib import Path

import numpy as np


def rounded(array: np.ndarray) -> np.ndarray:
    """Rounds the 8 lowest bits of float32's mantissa away: a relative error of at most 2^-16."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x80) & np.uint32(0xFFFFFF00)).view(np.float32)


def pack(path: Path, arrays: dict[str, np.ndarray], exact: bool = False) -> None:
    """Stores float arrays, rounded unless `exact`, as byte planes [3 or 4, …]; integers as they are."""
    planes = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.integer):
            planes[name] = array
        else:
            bits = (np.ascontiguousarray(array, np.float32) if exact else rounded(array)).view(np.uint32)
            shifts = (24, 16, 8, 0) if exact else (24, 16, 8)
            planes[name] = np.stack([(bits >> shift).astype(np.uint8) for shift in shifts])
    np.savez_compressed(path, **planes)


def unpack(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(path) as packed:
        for name in packed.files:
            array = packed[name]
            if array.dtype == np.uint8:
                planes = array.astype(np.uint32)
                bits = np.zeros_like(planes[0])
                for plane, shift in zip(planes, (24, 16, 8, 0)):
                    bits |= plane << np.uint32(shift)
                array = bits.view(np.float32)
            arrays[name] = array
    return arrays
