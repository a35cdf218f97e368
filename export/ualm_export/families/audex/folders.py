"""The folders of a published Audex repository."""

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ...config import Config
from ...errors import ExportError

FULL = "checkpoint_folder_full"
AUDIOGEN = "checkpoint_folder_audiogen"
SPEECH_DECODER = "audex_causal_speech_decoder"
_ROOT_TYPE = "nemotron_labs_audex"
_MODEL_TYPES = ("nemotron_dense_audex", "nemotron_dense")
_FILES = (
    "package.json",
    "config.json",
    f"{FULL}/*config.json",
    f"{FULL}/tokenizer.json",
    f"{FULL}/chat_template.jinja",
    f"{FULL}/model.safetensors.index.json",
    f"{FULL}/*.safetensors",
    f"{SPEECH_DECODER}/config.json",
    f"{SPEECH_DECODER}/model.safetensors.index.json",
    f"{SPEECH_DECODER}/*.safetensors",
)
"""Patterns of the files to read; * matches folders, too."""
_XCODEC_FILES = ("config.json", "model.safetensors.index.json", "*.safetensors")


@dataclass(frozen=True)
class Folders:
    root: Path
    language_model: Path
    """Config, tokenizer and index of the language model."""
    full: Path
    """The folder with the shards and the audio encoder."""
    speech_decoder: Path


def recognizes(folder: Path) -> bool:
    """Returns whether a folder is the repository, or one of its two folders of the language model."""
    if not (folder / "config.json").is_file():
        return False
    model_type = Config.read(folder / "config.json").get("model_type", default=None)
    if folder.resolve().name in (FULL, AUDIOGEN):
        return model_type in _MODEL_TYPES
    return model_type == _ROOT_TYPE


def recognizes_listing(paths: Collection[str]) -> bool:
    """Returns whether files of these paths are the repository."""
    return "config.json" in paths and f"{FULL}/config.json" in paths


def wanted(paths: Collection[str]) -> list[str]:
    """Returns the paths of the files to read; refuses a repository without some of them."""
    for folder in (FULL, SPEECH_DECODER):
        if not any(path.startswith(f"{folder}/") and path.endswith(".safetensors") for path in paths):
            raise ExportError(f"there are no weights (*.safetensors) in {folder}; expected the repository as it is published")
    return _matching(paths, _FILES)


def wanted_xcodec(paths: Collection[str]) -> list[str]:
    """Returns the paths of the files of X-codec's repository to read."""
    found = _matching(paths, _XCODEC_FILES)
    if "config.json" not in found or len(found) < 2:
        raise ExportError("there is no config.json with weights (*.safetensors) beside it; expected X-codec as it is published")
    return found


def _matching(paths: Collection[str], patterns: tuple[str, ...]) -> list[str]:
    return sorted(path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns))


def find_folders(folder: Path) -> Folders:
    """Finds the folders around the given one; refuses a repository that lacks one of them."""
    folder = folder.resolve()
    is_root = folder.name not in (FULL, AUDIOGEN)
    root = folder if is_root else folder.parent
    found = Folders(root, root / FULL if is_root else folder, root / FULL, root / SPEECH_DECODER)
    for needed in (found.full, found.speech_decoder):
        if not needed.is_dir():
            raise ExportError(f"{root} has no folder {needed.name}; expected the whole repository, as it is published")
    return found
