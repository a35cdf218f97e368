"""The audio encoders that the trainer supports.

- `af_whisper`: a chunk is a whole 30 s window; every position attends to every other, padding included
  (as in the trainer's code); learned positions.
- `qwen2_5_omni`: a chunk is 2 × n_window mel frames; positions past its end are masked; sinusoidal positions; a
  projection after the last norm.
"""

from collections.abc import Iterable

from ...audio_encoder import FRAMES_PER_SECOND, AudioEncoder, LinearProjector
from ...blocks.whisper_tower import WhisperTower
from ...config import Config
from ...errors import ExportError
from ...names import Names
from ..transformers import WHISPER_TOWER, whisper_tower

IO_PREFIX = "multimodal_io_dict.continuous_audio."
ADAPTOR = "adaptor.continuous_audio"
UNUSED_TENSORS = [
    r"multimodal_io_dict\.continuous_audio\..*\.audio_bos_eos_token\.weight",
    r"multimodal_io_dict\.continuous_audio\..*\.positional_embedding\.positional_embedding",
]

_AF_WHISPER_TYPES = ("qwen2_audio_encoder", "audioflamingo3_encoder", "af_whisper", "afwhisper", "whisper")
_OMNI_TYPES = ("qwen2_5_omni_audio_encoder",)
_OMNI_TOWER = WHISPER_TOWER | {"norm": "ln_post", "projection": "proj"}


def audio_encoder(config: Config, names: Iterable[str], hidden_size: int, choice: str = "") -> AudioEncoder:
    """Reads a config of either kind; nested under thinker_config and audio_config, or flat.

    `names` are those of the checkpoint's tensors, `hidden_size` is the language model's. `choice` is the trainer's name of
    the encoder; "AFWhisper" determines its kind, any other leaves it to the config.
    """
    for name in ("thinker_config", "audio_config"):
        if isinstance(config.values.get(name), dict):
            config = config.section(name)
    kind = "af_whisper" if choice == "AFWhisper" else _kind(config)
    tower, table = (_af_whisper(config), WHISPER_TOWER) if kind == "af_whisper" else (_omni(config), _OMNI_TOWER)
    windowed = kind == "af_whisper"
    return AudioEncoder(
        kind=kind,
        tower=tower,
        names=Names(_find_prefix(names), table),
        projector=LinearProjector(ADAPTOR, tower.output_size, hidden_size),
        window_seconds=tower.chunk_frames // FRAMES_PER_SECOND if windowed else 30,
        pad_to_window=windowed,
        normalize=not windowed,
    )


def _kind(config: Config) -> str:
    model_type = config.get("model_type", default="qwen2_5_omni_audio_encoder" if "n_window" in config.values else "")
    if model_type in _AF_WHISPER_TYPES:
        return "af_whisper"
    if model_type in _OMNI_TYPES:
        return "qwen2_5_omni"
    raise ExportError(
        f"{config.source}: model_type is {model_type!r}; supported: {', '.join(_AF_WHISPER_TYPES + _OMNI_TYPES)}"
    )


def _af_whisper(config: Config) -> WhisperTower:
    positions = config.get("max_source_positions", default=1500)
    if positions % 50:
        raise ExportError(f"{config.source}: max_source_positions is {positions}; expected whole seconds, 50 each")
    return whisper_tower(config, 2 * positions, masked=False, learned_positions=True)


def _omni(config: Config) -> WhisperTower:
    n_window = config.get("n_window", default=100)
    if n_window % 2:
        raise ExportError(
            f"{config.source}: n_window is {n_window}; it must be even, or features would span two chunks"
        )
    output_size = config.get("output_dim", default=3584)
    return whisper_tower(config, 2 * n_window, masked=True, learned_positions=False, projected_size=output_size)


def _find_prefix(names: Iterable[str]) -> str:
    """Finds the prefix of the encoder's tensors: the trainer may wrap it in any number of modules."""
    found = [
        name[: -len("conv1.weight")] for name in names if name.startswith(IO_PREFIX) and name.endswith(".conv1.weight")
    ]
    if len(found) > 1:
        raise ExportError(f"The weights hold {len(found)} audio encoders, at {', '.join(found)}; expected one")
    return found[0] if found else IO_PREFIX + "model."
