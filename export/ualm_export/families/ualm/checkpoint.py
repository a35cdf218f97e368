"""A checkpoint folder of the trainer: train.yaml, weights, configs and tokenizer."""

from collections.abc import Collection
from pathlib import Path

from ...audio_encoder import check_front_end
from ...config import Config
from ...enhancer import find_enhancer
from ...errors import ExportError, listing
from ...options import Options
from ...parts import Checkpoint
from ...tensors import Tensor, TensorStore
from ...weights import read_weights
from .model import Configs, parts_of

TRAINER_WEIGHTS = "mp_rank_00_model_states.pt"


def open_checkpoint(folder: Path, options: Options) -> Checkpoint:
    """Reads everything but the weights, which are read when they are written."""
    train = Config.read(folder / "train.yaml")
    _check_training(train)
    io = train.section("multimodal_io")
    model_folder = _named_folder(folder, train.section("model"), "model_hf_tag")
    text_folder = _named_folder(folder, io.section("text"), "tokenizer_name")
    codec_folder = _named_folder(folder, io.section("discrete_audio"), "codec_hf_model_tag")
    encoder_folder = _named_folder(folder, io.section("continuous_audio"), "encoder_local_path", "encoder_hf_model_tag")
    tokenizer = text_folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise ExportError(
            f"{tokenizer} does not exist; write it by loading the tokenizer with transformers "
            "and saving it with save_pretrained"
        )
    text_config = text_folder if (text_folder / "config.json").is_file() else model_folder
    configs = Configs(
        language_model=Config.read(model_folder / "config.json"),
        codec=Config.read(codec_folder / "config.json"),
        audio_encoder=Config.read(encoder_folder / "config.json"),
        text_size=Config.read(text_config / "config.json").get("vocab_size"),
        io_names=[name for name in io.values if name != "continuous_audio"],
        encoder_choice=io.section("continuous_audio").get("encoder_choice", default=""),
    )
    details = Config.optional(folder / "package.json")
    tensors = TensorStore(_read_weights(folder))
    parts = parts_of(configs, tensors, options.max_positions, find_enhancer(folder))
    check_front_end(Config.optional(encoder_folder / "preprocessor_config.json"), parts.audio_encoder)
    return Checkpoint(parts, tensors, tokenizer.read_bytes(), details)


def _check_training(train: Config) -> None:
    """Refuses settings of the trainer that the graphs and the runtime do not support."""
    train.section("model").require("model_choice", ["parallel"], default="parallel")
    io = train.section("multimodal_io")
    unknown = set(io.values) - {"text", "discrete_audio", "continuous_audio"}
    if unknown:
        raise ExportError(
            f"{io.source} names {', '.join(sorted(unknown))}; supported: text, discrete_audio, continuous_audio"
        )
    audio = io.section("discrete_audio")
    audio.require("delay_interleave", [True], default=False)
    if audio.get("ssl_choice", default=None) is not None:
        raise ExportError(
            f"{audio.source}: ssl_choice is {audio.get('ssl_choice')!r}; supported: codec streams alone"
        )


def _named_folder(checkpoint: Path, section: Config, *keys: str) -> Path:
    """Returns the folder that a setting names: absolute, relative to the checkpoint, or in it by base name."""
    name = str(section.get(*keys))
    candidates = [Path(name), checkpoint / name, checkpoint / Path(name).name]
    candidates = [path for path in dict.fromkeys(candidates) if path.is_absolute() or path.is_relative_to(checkpoint)]
    for path in candidates:
        if path.is_dir():
            return path
    raise ExportError(
        listing(
            f"{section.source}: {' or '.join(keys)} names {name!r}, which is not a folder at any of",
            [str(path) for path in candidates],
        )
    )


def check_ranks(checkpoint: str, names: Collection[str]) -> None:
    """Refuses a checkpoint that is split over several ranks, from the names of its files."""
    if "mp_rank_01_model_states.pt" in names:
        raise ExportError(
            f"{checkpoint} holds a checkpoint split over several model-parallel ranks (mp_rank_01…); "
            "merge it with the trainer's tools into one state dict first"
        )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    check_ranks(str(folder), [path.name for path in folder.iterdir()])
    return read_weights(folder, TRAINER_WEIGHTS)
