"""The optional enhancer: an existing graph that is copied into the package if it fulfils the contract."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx

from .errors import ExportError

INPUT_RATE = 16000
_FILE_NAME = "enhancer.onnx"


@dataclass(frozen=True)
class Enhancer:
    source: Path
    """The graph; its copy in the package has the same file name."""
    sampling_rate: int
    channels: int

    def copy(self, out: Path) -> None:
        """Copies the graph and its external data into `out`; refuses a graph with other inputs or outputs."""
        model = onnx.load(self.source, load_external_data=False)
        self._check_boundary(model)
        shutil.copyfile(self.source, out / self.source.name)
        for name in sorted(_external_files(model)):
            if Path(name).name != name or not self.source.with_name(name).is_file():
                raise ExportError(f"{self.source} keeps tensors in {name!r}, which is not a file beside it")
            if not name.startswith(self.source.name):
                raise ExportError(
                    f"{self.source} keeps tensors in {name}; expected a name that begins with {self.source.name}"
                )
            shutil.copyfile(self.source.with_name(name), out / name)

    def _check_boundary(self, model: onnx.ModelProto) -> None:
        for values, name, channels in (
            (model.graph.input, "audio_values", 1),
            (model.graph.output, "enhanced_values", self.channels),
        ):
            found = [value.name for value in values]
            if found != [name]:
                raise ExportError(f"{self.source}: expected the one value {name}, found {', '.join(found) or 'none'}")
            tensor = values[0].type.tensor_type
            dims = tensor.shape.dim
            if tensor.elem_type != onnx.TensorProto.FLOAT or len(dims) != 3 or dims[1].dim_value not in (0, channels):
                kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
                sizes = [dim.dim_value or dim.dim_param or "?" for dim in dims]
                raise ExportError(f"{self.source}: {name} is {kind} {sizes}; expected FLOAT [B, {channels}, samples]")


def find_enhancer(folder: Path, sampling_rate: int = 48000, channels: int = 2) -> Enhancer | None:
    """Returns the enhancer of a checkpoint folder, if it has one."""
    source = folder / _FILE_NAME
    return Enhancer(source, sampling_rate, channels) if source.is_file() else None


def _external_files(model: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
