"""The weights of a checkpoint folder, in any of the accepted formats."""

from collections.abc import Iterable
from pathlib import Path

from .errors import ExportError
from .tensors import Tensor, read_safetensors, read_safetensors_index, read_torch_zip

_INDEX = ".safetensors.index.json"

def wanted_weights(names: Iterable[str], torch_name: str) -> list[str]:
    """Returns the names of the weight files: `torch_name` if present, else safetensors, else torch.save files."""
    if torch_name in names:
        return [torch_name]
    safetensors = [name for name in names if name.endswith((".safetensors", _INDEX))]
    return sorted(safetensors or [name for name in names if name.endswith((".pt", ".pth", ".bin"))])


def read_weights(folder: Path, torch_name: str) -> dict[str, Tensor]:
    """Reads the weights of a folder; of other torch.save files there must be only one."""
    wanted = [folder / name for name in wanted_weights([path.name for path in folder.iterdir()], torch_name)]
    if not wanted:
        raise ExportError(
            f"{folder} holds no weights; expected {torch_name}, *.safetensors, or one other .pt, .pth or .bin file"
        )
    indices = [path for path in wanted if path.name.endswith(_INDEX)]
    if indices:
        return _only(indices, folder, read_safetensors_index)
    return _merged(wanted) if wanted[0].suffix == ".safetensors" else _only(wanted, folder, read_torch_zip)


def _only(paths: list[Path], folder: Path, read) -> dict[str, Tensor]:
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise ExportError(f"{folder} holds several weights files ({names}); leave the one to export")
    return read(paths[0])


def _merged(paths: list[Path]) -> dict[str, Tensor]:
    """Merges the tensors of shards without an index; refuses duplicates."""
    tensors = {}
    for path in paths:
        shard = read_safetensors(path)
        twice = tensors.keys() & shard.keys()
        if twice:
            raise ExportError(f"{path} repeats {len(twice)} tensors of the other files, {sorted(twice)[0]} among them")
        tensors.update(shard)
    return tensors
