"""Reads checkpoint weights without torch: `torch.save` zip files and safetensors, mapped, one tensor at a time.

A `TensorStore` maps names to lazy `Tensor`s. Reading returns float32 for every type in the file. Each read maps only its own
bytes and unmaps them afterwards, so that memory is bounded by one tensor.
"""

import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ExportError, Faults, listing

_SAFETENSORS_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_TORCH_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


_LFS_POINTER = b"version "
"""The first bytes of a Git LFS pointer."""


class Tensor:
    """A lazy tensor. `tensor[...]`, `tensor[:]` or `tensor[a:b]` reads it, or rows of it, as float32."""

    def __init__(self, shape: tuple[int, ...], read_rows: Callable[[int, int], np.ndarray]):
        self.shape = tuple(shape)
        self._read_rows = read_rows

    def __getitem__(self, rows) -> np.ndarray:
        count = self.shape[0] if self.shape else 1
        start, stop, step = (0, count, 1) if rows is Ellipsis else rows.indices(count)
        if step != 1:
            raise ValueError("rows are read without a step")
        return self._read_rows(start, max(start, stop)).astype(np.float32, copy=False)

    def part(self, start: int, stop: int) -> "Tensor":
        """Returns rows start..stop as a lazy tensor."""
        return Tensor((stop - start, *self.shape[1:]), lambda a, b: self._read_rows(start + a, start + b))


class Rows:
    """Tensors of equal width, concatenated along the rows, as one lazy tensor."""

    def __init__(self, parts: list):
        self._parts = parts
        self.shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])

    def __getitem__(self, rows) -> np.ndarray:
        start, stop, _ = (0, self.shape[0], 1) if rows is Ellipsis else rows.indices(self.shape[0])
        pieces = []
        offset = 0
        for part in self._parts:
            first = max(start - offset, 0)
            last = min(stop - offset, part.shape[0])
            if first < last:
                pieces.append(part[first:last])
            offset += part.shape[0]
        return np.concatenate(pieces) if pieces else np.empty((0, *self.shape[1:]), np.float32)


class Scaled:
    """A tensor times a number, as a lazy tensor."""

    def __init__(self, tensor, factor: float):
        self._tensor = tensor
        self._factor = np.float32(factor)
        self.shape = tensor.shape

    def __getitem__(self, rows) -> np.ndarray:
        return self._tensor[rows] * self._factor


@dataclass(frozen=True)
class _Stored:
    """The location of a tensor in a file: `offset` in bytes, `strides` in elements."""

    path: Path
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def tensor(self) -> Tensor:
        return Tensor(self.shape, self._rows)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        shape = self.shape
        offset = self.offset
        element = np.dtype(np.uint16 if self.dtype == "bfloat16" else self.dtype)
        if shape:
            shape = (stop - start, *shape[1:])
            offset += start * self.strides[0] * element.itemsize
        if math.prod(shape) == 0:
            return np.zeros(shape, np.float32)
        span = 1 + sum((size - 1) * stride for size, stride in zip(shape, self.strides))
        mapped = np.memmap(self.path, np.uint8, "r", offset, span * element.itemsize)
        view = np.ndarray(shape, element, mapped, strides=[s * element.itemsize for s in self.strides])
        if self.dtype == "bfloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return np.array(view)


def _contiguous(shape) -> tuple[int, ...]:
    """Returns the strides, in elements, of a row-major tensor."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


class TensorStore(Mapping[str, Tensor]):
    """Lazy tensors by name, with folded weight norm.

    A weight-normed `x.weight_g`, `x.weight_v` pair, or the newer `x.parametrizations.weight.original0`
    and `original1`, appears as the plain `x.weight`.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._tensors = _fold_weight_norms(dict(tensors))
        self.count_reads(lambda elements: None)

    def count_reads(self, on_read: Callable[[int], None]) -> None:
        """Reports the number of elements read to `on_read` from now on, each element of a tensor at most once."""
        self._unread = {name: math.prod(tensor.shape) for name, tensor in self._tensors.items()}
        self._on_read = on_read

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        return Tensor(tensor.shape, lambda start, stop: self._counted(name, tensor, start, stop))

    def _counted(self, name: str, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        rows = tensor[start:stop] if tensor.shape else tensor[...]
        elements = min(rows.size, self._unread[name])
        self._unread[name] -= elements
        self._on_read(elements)
        return rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Prefixed:
    """The tensors of a store under one prefix: `Prefixed(store, "model.")["norm.weight"]`."""

    def __init__(self, store, prefix: str):
        self._store = store
        self.prefix = prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._store[self.prefix + name]

    def within(self, prefix: str) -> "Prefixed":
        return Prefixed(self._store, self.prefix + prefix)


_WEIGHT_NORM_NAMES = [
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
]


def _fold_weight_norms(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for magnitude_name, direction_name in _WEIGHT_NORM_NAMES:
        for name in [n for n in tensors if n.endswith("." + magnitude_name)]:
            module = name[: -len(magnitude_name)]
            if module + direction_name in tensors and module + "weight" not in tensors:
                tensors[module + "weight"] = _weight_normed(tensors.pop(name), tensors.pop(module + direction_name))
    return tensors


def _weight_normed(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Returns g · v / |v|, with the norm over the dimensions in which g has one element."""

    def read(start: int, stop: int) -> np.ndarray:
        g = magnitude[...].astype(np.float64)
        v = direction[...].astype(np.float64)
        normed = tuple(axis for axis in range(v.ndim) if g.shape[axis] == 1)
        weight = v * (g / np.sqrt((v * v).sum(normed, keepdims=True)))
        return weight[start:stop].astype(np.float32)

    return Tensor(direction.shape, read)


# --- safetensors ----------------------------------------------------------------------------------


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of one safetensors file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        prefix = file.read(8)
        header_size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if prefix == _LFS_POINTER:
            raise ExportError(f"{path} is a pointer of Git LFS, not the weights; get them with: git lfs pull")
        if header_size > size - 8:
            raise ExportError(f"{path} is not a safetensors file, or is cut short: its header does not fit in it")
        try:
            header = json.loads(file.read(header_size))
        except ValueError as error:
            raise ExportError(f"{path} is not a safetensors file: its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise ExportError(f"{path} is not a safetensors file: its header is a {type(header).__name__}; expected names of tensors")
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not _is_entry(entry):
            raise ExportError(f"{path}: tensor {name} is {entry!r} in its header; expected dtype, shape and data_offsets")
        dtype = _SAFETENSORS_TYPES.get(entry["dtype"])
        if dtype is None:
            raise ExportError(
                f"{path}: tensor {name} is of type {entry['dtype']}; readable are {', '.join(_SAFETENSORS_TYPES)}"
            )
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if 8 + header_size + end > size:
            raise ExportError(f"{path} is cut short: tensor {name} ends {8 + header_size + end - size} bytes past it")
        if end - begin != math.prod(shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize):
            raise ExportError(f"{path}: tensor {name} of shape {list(shape)} does not fit its {end - begin} bytes")
        tensors[name] = _Stored(path, dtype, 8 + header_size + begin, shape, _contiguous(shape)).tensor()
    return tensors


def _is_entry(entry) -> bool:
    """Returns whether an entry of a header has the three fields, with ascending offsets."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    lists = [entry.get("shape"), entry.get("data_offsets")]
    if not all(isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers) for numbers in lists):
        return False
    return len(lists[1]) == 2 and lists[1][0] <= lists[1][1]


def read_safetensors_index(path: Path, elsewhere: Path | None = None) -> dict[str, Tensor]:
    """Reads the tensors of a sharded checkpoint from its `*.safetensors.index.json`.

    A shard that is not beside the index is looked up by name in the folder `elsewhere`, if it is given.
    """
    weight_map = _weight_map(path)
    shards = {}
    faults = Faults()
    for shard in sorted(set(weight_map.values())):
        with faults.kept():
            shards[shard] = read_safetensors(_find_shard(path, shard, elsewhere))
    faults.raise_all(f"{path}: its shards cannot be read")
    absent = [name for name, shard in weight_map.items() if name not in shards[shard]]
    if absent:
        raise ExportError(listing(f"{path} lists tensors that their shards do not hold:", absent))
    return {name: shards[shard][name] for name, shard in weight_map.items()}


def _weight_map(path: Path) -> dict[str, str]:
    """Returns the shard of each tensor."""
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8-sig"))["weight_map"]
        shards = list(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path} cannot be read: expected JSON with a weight_map of shards by tensor ({error!r})") from None
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise ExportError(f"{path} names the shard {shard!r}; expected the name of a file")
    return weight_map


def _find_shard(index: Path, shard: str, elsewhere: Path | None) -> Path:
    folders = [index.parent] + ([elsewhere] if elsewhere and elsewhere != index.parent else [])
    for folder in folders:
        if (folder / shard).is_file():
            return folder / shard
    where = " nor in ".join(map(str, folders))
    raise ExportError(f"{index} names {shard}, which is not in {where}; fetch the checkpoint whole")


# --- torch.save -----------------------------------------------------------------------------------


def read_torch_zip(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a `torch.save` file, those under its "module" key if it has one.

    The pickle inside can name only the types of a state dict: everything else (the trainer's settings, for instance) is
    replaced by an empty stand-in, and no code of it runs.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise ExportError(
            f"{path} is not a zip file as torch.save writes it (or is cut short); "
            "files in torch's format from before 1.6 must be saved again with a newer torch"
        ) from None
    with archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ExportError(f"{path} holds {len(pickles)} data.pkl, expected one: is it a torch.save file?")
        root = pickles[0][: -len("data.pkl")]
        if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") != b"little":
            raise ExportError(f"{path} was written on a big-endian machine, which is not supported")
        offsets = _record_offsets(path, archive)
        with archive.open(pickles[0]) as file:
            try:
                content = _StateDictUnpickler(file, path, root, offsets).load()
            except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError) as error:
                raise ExportError(f"{path}: its pickle cannot be read as a state dict ({error})") from None
    if isinstance(content, dict) and isinstance(content.get("module"), dict):
        content = content["module"]
    tensors = {}
    _collect(content, "", tensors)
    if not tensors:
        raise ExportError(f"{path} holds no tensors, neither at the top nor under 'module'")
    return {name: stored.tensor() for name, stored in tensors.items()}


def _collect(content, prefix: str, tensors: dict[str, _Stored]) -> None:
    """Flattens nested dictionaries of tensors to dotted names; other values are skipped."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if isinstance(value, _Stored):
            tensors[f"{prefix}{key}"] = value
        elif isinstance(value, dict):
            _collect(value, f"{prefix}{key}.", tensors)


def _record_offsets(path: Path, archive: zipfile.ZipFile) -> dict[str, tuple[int, int]]:
    """Returns the offset and the size of each stored (uncompressed) record."""
    offsets = {}
    with open(path, "rb") as file:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                continue
            file.seek(record.header_offset + 26)
            name_size, extra_size = struct.unpack("<HH", file.read(4))
            offsets[record.filename] = (record.header_offset + 30 + name_size + extra_size, record.file_size)
    return offsets


class _StandIn:
    """Replaces every object that is not part of a state dict, and does nothing."""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __init__(self, *_args, **_kwargs):
        pass

    def __call__(self, *_args, **_kwargs):
        return self

    def __setstate__(self, _state):
        pass

    def __setitem__(self, _key, _value):
        pass

    def append(self, _item):
        pass

    def extend(self, _items):
        pass

    def add(self, _item):
        pass


@dataclass(frozen=True)
class _StorageType:
    dtype: str


class _StateDictUnpickler(pickle.Unpickler):
    """Rebuilds tensors as `_Stored` records; see `read_torch_zip`."""

    def __init__(self, file, path: Path, root: str, offsets: dict[str, tuple[int, int]]):
        super().__init__(file)
        self._path = path
        self._root = root
        self._offsets = offsets

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return self._rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module in ("torch", "torch.storage") and name in _TORCH_STORAGES:
            return _StorageType(_TORCH_STORAGES[name])
        return _StandIn

    def persistent_load(self, identifier):
        kind, storage_type, key, _location, count = identifier
        record = f"{self._root}data/{key}"
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f"a storage of unknown type: {identifier!r}")
        if record not in self._offsets:
            raise pickle.UnpicklingError(f"record {record} is missing or compressed")
        return storage_type.dtype, self._offsets[record], count

    def _rebuild_tensor(self, storage, storage_offset: int, size, stride, *_):
        dtype, (offset, available), _count = storage
        item = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        shape = tuple(size)
        strides = tuple(stride)
        if math.prod(shape):
            end = storage_offset + 1 + sum((n - 1) * step for n, step in zip(shape, strides))
            if end * item > available or min([storage_offset, *strides], default=0) < 0:
                raise pickle.UnpicklingError(f"a tensor of shape {list(shape)} reaches outside its storage")
        return _Stored(self._path, dtype, offset + storage_offset * item, shape, strides)
