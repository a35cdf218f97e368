"""A checkpoint folder as the trainer writes it: train.yaml, weights, configs and tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from .config import Config
from .errors import ExportError, listing
from .tensors import Tensor, TensorStore, read_safetensors, read_safetensors_index, read_torch_zip

_TRAINER_WEIGHTS = "mp_rank_00_model_states.pt"


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
    train: Config
    text: Config
    """Configuration beside the text tokenizer: its `vocab_size` is the size of the text interval."""
    tokenizer: Path
    language_model: Config
    codec: Config
    audio_encoder: Config
    preprocessor: Config
    """The encoder's optional preprocessor_config.json."""
    details: Config
    """The optional package.json: name, licence and the like for the manifest."""
    tensors: TensorStore

    @classmethod
    def open(cls, folder: Path) -> "Checkpoint":
        if not folder.is_dir():
            raise ExportError(f"{folder} is not a folder; expected a checkpoint folder with a train.yaml in it")
        train = Config.read(folder / "train.yaml")
        _check_training(train)
        io = train.section("multimodal_io")
        model_folder = _named_folder(folder, train.section("model"), "model_hf_tag")
        text_folder = _named_folder(folder, io.section("text"), "tokenizer_name")
        codec_folder = _named_folder(folder, io.section("discrete_audio"), "codec_hf_model_tag")
        encoder_folder = _named_folder(
            folder, io.section("continuous_audio"), "encoder_local_path", "encoder_hf_model_tag"
        )
        tokenizer = text_folder / "tokenizer.json"
        if not tokenizer.is_file():
            raise ExportError(
                f"{tokenizer} does not exist; write it by loading the tokenizer with transformers "
                "and saving it with save_pretrained"
            )
        text_config = text_folder if (text_folder / "config.json").is_file() else model_folder
        return cls(
            folder=folder,
            train=train,
            text=Config.read(text_config / "config.json"),
            tokenizer=tokenizer,
            language_model=Config.read(model_folder / "config.json"),
            codec=Config.read(codec_folder / "config.json"),
            audio_encoder=Config.read(encoder_folder / "config.json"),
            preprocessor=_optional(encoder_folder / "preprocessor_config.json"),
            details=_optional(folder / "package.json"),
            tensors=TensorStore(_read_weights(folder)),
        )

    @property
    def encoder_choice(self) -> str:
        """The trainer's word for the audio encoder: AFWhisper, huggingface."""
        return self.train.section("multimodal_io").section("continuous_audio").get("encoder_choice", default="")

    @property
    def discrete_ios(self) -> list[str]:
        """Names of the discrete inputs and outputs, in the order that lays out the vocabulary."""
        return [name for name in self.train.section("multimodal_io").values if name != "continuous_audio"]


def _optional(path: Path) -> Config:
    return Config.read(path) if path.is_file() else Config({}, str(path))


def _check_training(train: Config) -> None:
    """Refuses what the trainer knows and the graphs and the runtime do not."""
    train.section("model").require("model_choice", ["parallel"], default="parallel")
    io = train.section("multimodal_io")
    unknown = set(io.values) - {"text", "discrete_audio", "continuous_audio"}
    if unknown:
        raise ExportError(
            f"{io.source} names {', '.join(sorted(unknown))}; implemented are text, discrete_audio, continuous_audio"
        )
    audio = io.section("discrete_audio")
    audio.require("delay_interleave", [True], default=False)
    if audio.get("ssl_choice", default=None) is not None:
        raise ExportError(
            f"{audio.source}: ssl_choice is {audio.get('ssl_choice')!r}; only codec streams are implemented"
        )


def _named_folder(checkpoint: Path, section: Config, *keys: str) -> Path:
    """The folder that a setting names: absolute, relative to the checkpoint, or in it by base name."""
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


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights file of the checkpoint, in whichever of the accepted forms it comes."""
    if (folder / "mp_rank_01_model_states.pt").is_file():
        raise ExportError(
            f"{folder} holds a checkpoint split over several model-parallel ranks (mp_rank_01…); "
            "merge it with the trainer's tools into one state dict first"
        )
    if (folder / _TRAINER_WEIGHTS).is_file():
        return read_torch_zip(folder / _TRAINER_WEIGHTS)
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
        f"{folder} holds no weights; expected {_TRAINER_WEIGHTS}, *.safetensors, or one other .pt, .pth or .bin file"
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
