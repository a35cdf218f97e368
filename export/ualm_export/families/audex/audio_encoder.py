"""Audex's audio encoder: AF-Whisper, named NV-Whisper there, and a projector of two layers."""

from ...audio_encoder import FRAMES_PER_SECOND, SAMPLING_RATE, AudioEncoder, MlpProjector
from ...config import Config
from ...errors import ExportError
from ...names import Names
from ..transformers import WHISPER_TOWER, whisper_tower

ENCODER_PREFIX = "audio_encoder."
PROJECTOR_PREFIX = "audio_projector."


def audio_encoder(config: Config, hidden_size: int) -> AudioEncoder:
    """Reads the config of checkpoint_folder_full; `hidden_size` is the language model's."""
    encoder = config.section("audio_config")
    encoder.require("model_type", ["qwen2_audio_encoder"])
    positions = encoder.size("max_source_positions", default=1500)
    if positions % 50:
        raise ExportError(f"{encoder.source}: max_source_positions is {positions}; expected whole seconds, 50 each")
    tower = whisper_tower(encoder, 2 * positions, masked=False, learned_positions=True)
    window_seconds = tower.chunk_frames // FRAMES_PER_SECOND
    implemented = {
        "audio_model_type": "NV-Whisper",
        "audio_encoder_hidden_size": tower.hidden_size,
        "sound_target_rate": SAMPLING_RATE,
        "sound_clip_duration": window_seconds,
        "sound_embedding_size": tower.chunk_frames // 4,
    }
    for field, value in implemented.items():
        config.require(field, [value], default=value)
    config.require("audio_projector_activation", ["relu2", "gelu"])
    projector = MlpProjector(
        prefix=PROJECTOR_PREFIX,
        input_size=tower.hidden_size,
        inner_size=config.size("audio_projector_intermediate_size"),
        output_size=hidden_size,
        activation=config.get("audio_projector_activation"),
        epsilon=config.number("audio_projector_norm_eps"),
    )
    return AudioEncoder(
        kind="af_whisper",
        tower=tower,
        names=Names(ENCODER_PREFIX, WHISPER_TOWER),
        projector=projector,
        window_seconds=window_seconds,
        pad_to_window=True,
        normalize=False,
        rows="whole_windows",
        limit_peak=True,
    )
