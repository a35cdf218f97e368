"""Writes weights in the formats of torch.save and safetensors, without either library.

Tensors are float arrays by name; `dtype` is their type in the file: float32, float16 or bfloat16.
"""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np

_TORCH_STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage"}
_SAFETENSORS_TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def encoded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Returns the array as stored in a file; bfloat16 (rounded to nearest even) as its 16 bits."""
    if dtype != "bfloat16":
        return np.ascontiguousarray(array, dtype)
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


# --- torch.save -----------------------------------------------------------------------------------


def write_torch_zip(path: Path, tensors: dict[str, np.ndarray], dtype: str = "float32", wrap: bool = True) -> None:
    """Writes a zip with one pickle and one record for each tensor; with `wrap` the state dict is under "module"."""
    root = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", _state_dict_pickle(tensors, dtype, wrap))
        archive.writestr(f"{root}/byteorder", "little")
        for key, array in enumerate(tensors.values()):
            archive.writestr(f"{root}/data/{key}", encoded(array, dtype).tobytes())
        archive.writestr(f"{root}/version", "3\n")


def _state_dict_pickle(tensors: dict[str, np.ndarray], dtype: str, wrap: bool) -> bytes:
    """Composes the pickle of a dict of tensors; it refers to torch's classes, without importing them."""
    items = b"".join(
        _text(name) + _tensor(key, array.shape, array.size, dtype) for key, (name, array) in enumerate(tensors.items())
    )
    state_dict = b"}(" + items + b"u"  # EMPTY_DICT, MARK … SETITEMS
    if wrap:
        state_dict = b"}(" + _text("module") + state_dict + _text("global_steps") + _integer(7) + b"u"
    return b"\x80\x02" + state_dict + b"."  # PROTO 2 … STOP


def _tensor(key: int, shape: tuple[int, ...], count: int, dtype: str) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)."""
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    identifier = _text("storage") + _global("torch", _TORCH_STORAGES[dtype]) + _text(str(key)) + _text("cpu")
    storage = b"(" + identifier + _integer(count) + b"tQ"  # TUPLE, BINPERSID
    hooks = _global("collections", "OrderedDict") + b")R"  # EMPTY_TUPLE, REDUCE
    arguments = storage + _integer(0) + _tuple(shape) + _tuple(strides) + b"\x89" + hooks  # NEWFALSE
    return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values) -> bytes:
    return b"(" + b"".join(_integer(value) for value in values) + b"t"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


# --- safetensors ----------------------------------------------------------------------------------


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtype: str = "float32") -> None:
    header = {}
    offset = 0
    for name, array in tensors.items():
        size = encoded(array, dtype).nbytes
        header[name] = {
            "dtype": _SAFETENSORS_TYPES[dtype], "shape": list(array.shape), "data_offsets": [offset, offset + size],
        }  # fmt: skip
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(encoded(array, dtype).tobytes())


def write_sharded(folder: Path, tensors: dict[str, np.ndarray], shards: int = 3, dtype: str = "float32") -> None:
    """Writes model-0000i-of-0000n.safetensors and their index."""
    names = list(tensors)
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        write_safetensors(folder / file, part, dtype)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
