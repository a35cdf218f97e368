"""The optional enhancer: a ready-made graph that is copied into the package once it keeps the contract."""

import shutil
from pathlib import Path

import onnx

from .errors import ExportError

SAMPLING_RATE = 48000
CHANNELS = 2


def copy_enhancer(checkpoint: Path, out: Path) -> bool:
    """Copies enhancer.onnx and its external data, if the checkpoint folder has one."""
    source = checkpoint / "enhancer.onnx"
    if not source.is_file():
        return False
    model = onnx.load(source, load_external_data=False)
    _check_boundary(model, source)
    shutil.copyfile(source, out / source.name)
    for name in sorted(_external_files(model)):
        if Path(name).name != name or not (checkpoint / name).is_file():
            raise ExportError(f"{source} keeps tensors in {name!r}, which is not a file beside it")
        if not name.startswith("enhancer.onnx"):
            raise ExportError(f"{source} keeps tensors in {name}; expected a name that begins with enhancer.onnx")
        shutil.copyfile(checkpoint / name, out / name)
    return True


def _external_files(model: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _check_boundary(model: onnx.ModelProto, source: Path) -> None:
    for values, name, channels in (
        (model.graph.input, "audio_values", 1),
        (model.graph.output, "enhanced_values", CHANNELS),
    ):
        found = [value.name for value in values]
        if found != [name]:
            raise ExportError(f"{source}: expected the one value {name}, found {', '.join(found) or 'none'}")
        tensor = values[0].type.tensor_type
        dims = tensor.shape.dim
        if tensor.elem_type != onnx.TensorProto.FLOAT or len(dims) != 3 or dims[1].dim_value not in (0, channels):
            raise ExportError(f"{source}: {name} must be float32 [B, {channels}, samples]")
