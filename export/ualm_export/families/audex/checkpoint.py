"""A published Audex repository: the folders of the model, the speech decoder, and X-codec from another repository."""

from pathlib import Path

from ...audio_encoder import AudioEncoder, check_front_end
from ...config import Config
from ...errors import ExportError, Faults
from ...options import Options
from ...parts import Checkpoint
from ...tensors import Tensor, TensorStore, read_safetensors, read_safetensors_index
from .chat_check import read_chat
from .chat_template import read_chat_template
from .folders import Folders, find_folders
from .model import ENCODER_PREFIXES, SPEECH_PREFIX, XCODEC_PREFIX, Configs, check_tokens, parts_of
from .tokens import read_tokens

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
LICENSE = "NVIDIA OneWay Noncommercial License (weights brought by the user)"
_ORIGIN = "NVIDIA Nemotron-Labs-Audex (brought by the user)"


def open_checkpoint(folder: Path, options: Options) -> Checkpoint:
    """Reads everything but the weights, which are read when they are written."""
    folders = find_folders(folder)
    faults = Faults()
    configs = tokens = template = None
    with faults.kept():
        configs = _read_configs(folders, options.xcodec)
    with faults.kept():
        tokenizer, tokens = read_tokens(folders.language_model / "tokenizer.json")
    with faults.kept():
        template = read_chat_template(folders.language_model)
    if template and tokens:
        with faults.kept():
            chat = read_chat(template, tokens)
    if configs and tokens:
        with faults.kept():
            check_tokens(configs, tokens)
    with faults.kept():
        tensors = TensorStore(_read_tensors(folders, options.xcodec))
    faults.raise_all(f"{folders.root} cannot be exported:")
    parts = parts_of(configs, tokens, chat, tensors, options)
    _check_front_end(folders.full, configs.full, parts.audio_encoder)
    defaults = {"name": folders.root.name, "license": LICENSE, "origin": _ORIGIN}
    return Checkpoint(parts, tensors, tokenizer, _details(folder, folders.root), defaults)


def _read_configs(folders: Folders, xcodec: Path | None) -> Configs:
    generation = Config.optional(folders.language_model / "generation_config.json")
    language_model = Config.read(folders.language_model / "config.json")
    ends = generation.get("eos_token_id", default=None)
    return Configs(
        language_model=language_model,
        full=Config.read(folders.full / "config.json"),
        speech_decoder=Config.read(folders.speech_decoder / "config.json"),
        xcodec=Config.read(xcodec / "config.json") if xcodec else None,
        ends=language_model.get("eos_token_id") if ends is None else ends,
    )


def _read_tensors(folders: Folders, xcodec: Path | None) -> dict[str, Tensor]:
    """Returns all tensors; those of the speech decoder and of X-codec after prefixes."""
    tensors = {}
    faults = Faults()
    with faults.kept():
        tensors |= _read_weights(folders.language_model, folders.full)
    if folders.language_model != folders.full:
        with faults.kept():
            encoder = _read_weights(folders.full, folders.full)
            tensors |= {name: tensor for name, tensor in encoder.items() if name.startswith(ENCODER_PREFIXES)}
    with faults.kept():
        tensors |= _prefixed(SPEECH_PREFIX, _read_weights(folders.speech_decoder))
    if xcodec:
        with faults.kept():
            tensors |= _prefixed(XCODEC_PREFIX, _read_weights(xcodec))
    faults.raise_all("Weights cannot be read:")
    return tensors


def _read_weights(folder: Path, elsewhere: Path | None = None) -> dict[str, Tensor]:
    """Returns the tensors of a folder from its index or its only file; shards may be in the folder `elsewhere`."""
    if (folder / _INDEX).is_file():
        return read_safetensors_index(folder / _INDEX, elsewhere)
    if (folder / _SINGLE).is_file():
        return read_safetensors(folder / _SINGLE)
    raise ExportError(f"{folder} holds no weights; expected {_INDEX} or {_SINGLE}")


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _check_front_end(full: Path, config: Config, encoder: AudioEncoder) -> None:
    name = config.get("audio_preprocessor_path", default="audio_preprocessor")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ExportError(f"{config.source}: audio_preprocessor_path is {name!r}; expected a folder inside {full}")
    check_front_end(Config.optional(full / name / "preprocessor_config.json"), encoder)


def _details(given: Path, root: Path) -> Config:
    """Reads package.json, from the given folder or from the repository."""
    path = given / "package.json"
    return Config.optional(path if path.is_file() else root / "package.json")
