"""The folders of a published Audex repository."""

from dataclasses import dataclass
from pathlib import Path

from ...config import Config
from ...errors import ExportError

FULL, AUDIOGEN, SPEECH_DECODER = "checkpoint_folder_full", "checkpoint_folder_audiogen", "audex_causal_speech_decoder"
_ROOT_TYPE = "nemotron_labs_audex"
_MODEL_TYPES = ("nemotron_dense_audex", "nemotron_dense")


@dataclass(frozen=True)
class Folders:
    root: Path
    language_model: Path
    """Config, tokenizer and index of the language model."""
    full: Path
    """The folder that has the shards, and the audio encoder."""
    speech_decoder: Path


def recognizes(folder: Path) -> bool:
    """Whether a folder is the repository, or one of its two folders of the language model."""
    if not (folder / "config.json").is_file():
        return False
    model_type = Config.read(folder / "config.json").get("model_type", default=None)
    if folder.resolve().name in (FULL, AUDIOGEN):
        return model_type in _MODEL_TYPES
    return model_type == _ROOT_TYPE


def find_folders(folder: Path) -> Folders:
    """Finds the folders around the one that is given; refuses a repository that lacks one of them."""
    folder = folder.resolve()
    is_root = folder.name not in (FULL, AUDIOGEN)
    root = folder if is_root else folder.parent
    found = Folders(root, root / FULL if is_root else folder, root / FULL, root / SPEECH_DECODER)
    for needed in (found.full, found.speech_decoder):
        if not needed.is_dir():
            raise ExportError(f"{root} has no folder {needed.name}; expected the whole repository, as it is published")
    return found
