"""The weights of a checkpoint folder, in whichever of the accepted forms they come."""

from pathlib import Path

from .errors import ExportError
from .tensors import Tensor, read_safetensors, read_safetensors_index, read_torch_zip


def read_weights(folder: Path, torch_name: str) -> dict[str, Tensor]:
    """Reads the torch.save file `torch_name` if it is there, else the safetensors, else the only other torch.save file."""
    if (folder / torch_name).is_file():
        return read_torch_zip(folder / torch_name)
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        return _only(indices, folder, read_safetensors_index)
    safetensors = sorted(folder.glob("*.safetensors"))
    if safetensors:
        return _merged(safetensors)
    torch_files = sorted([*folder.glob("*.pt"), *folder.glob("*.pth"), *folder.glob("*.bin")])
    if torch_files:
        return _only(torch_files, folder, read_torch_zip)
    raise ExportError(
        f"{folder} holds no weights; expected {torch_name}, *.safetensors, or one other .pt, .pth or .bin file"
    )


def _only(paths: list[Path], folder: Path, read) -> dict[str, Tensor]:
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise ExportError(f"{folder} holds several weights files ({names}); leave the one to export")
    return read(paths[0])


def _merged(paths: list[Path]) -> dict[str, Tensor]:
    """Shards without an index: their tensors together, none of them twice."""
    tensors = {}
    for path in paths:
        shard = read_safetensors(path)
        twice = tensors.keys() & shard.keys()
        if twice:
            raise ExportError(f"{path} repeats {len(twice)} tensors of the other files, {sorted(twice)[0]} among them")
        tensors.update(shard)
    return tensors
