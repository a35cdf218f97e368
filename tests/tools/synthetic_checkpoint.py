"""A random checkpoint of unusual sizes in the trainer's format: none is 8 × 1024 or Qwen's."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from ualm_export.byte_tokenizer import byte_tokenizer
from ualm_export.config import Config
from ualm_export.families.ualm.audio_encoder import IO_PREFIX
from ualm_export.families.ualm.model import Configs, parts_of, random_tensors

LANGUAGE_MODEL = {
    "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 72, "intermediate_size": 100,
    "num_hidden_layers": 1, "num_attention_heads": 3, "num_key_value_heads": 3, "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}, "max_position_embeddings": 512,
    "tie_word_embeddings": True, "vocab_size": 300,
}  # fmt: skip
CODEC = {
    "model_type": "xcodec", "sample_rate": 16000, "codebook_size": 512, "target_bandwidths": [0.45, 1.35],
    "channel_ratios": [2, 1], "strides": [1, 1], "block_dilations": [1, 3], "kernel_size": 3, "unit_kernel_size": 5,
    "acoustic_model_config": {
        "encoder_hidden_size": 4, "downsampling_ratios": [5, 8, 8], "decoder_hidden_size": 16,
        "upsampling_ratios": [8, 8, 5], "hidden_size": 12,
    },
    "semantic_model_config": {
        "hidden_size": 20, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "conv_dim": [8] * 7, "num_conv_pos_embeddings": 9, "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    },
}  # fmt: skip
OMNI_ENCODER = {
    "model_type": "qwen2_5_omni_audio_encoder", "d_model": 24, "encoder_ffn_dim": 40, "encoder_layers": 1,
    "encoder_attention_heads": 2, "num_mel_bins": 80, "n_window": 50, "output_dim": 28,
}  # fmt: skip
AF_ENCODER = {
    "model_type": "audioflamingo3_encoder", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_mel_bins": 80, "max_source_positions": 100,
}  # fmt: skip


@dataclass
class SyntheticCheckpoint:
    """The settings of the checkpoint. A test changes some, then calls `write`."""

    language_model: dict = field(default_factory=lambda: json.loads(json.dumps(LANGUAGE_MODEL)))
    codec: dict = field(default_factory=lambda: json.loads(json.dumps(CODEC)))
    encoder: dict = field(default_factory=lambda: json.loads(json.dumps(OMNI_ENCODER)))
    io_order: tuple[str, ...] = ("text", "discrete_audio", "continuous_audio")
    folders: dict[str, str] = field(default_factory=lambda: {"llm": "llm", "codec": "codec", "encoder": "encoder"})
    """Names of the config folders in train.yaml."""

    def tensors(self, seed: int = 0) -> dict[str, np.ndarray]:
        configs = Configs(
            language_model=Config(self.language_model, "llm"),
            codec=Config(self.codec, "codec"),
            audio_encoder=Config(self.encoder, "encoder"),
            text_size=self.language_model["vocab_size"],
            io_names=list(self.io_order),
        )
        random = random_tensors(parts_of(configs, {IO_PREFIX + "tower.conv1.weight": None}), seed)
        return {name: random[name][:] for name in random}

    def write(self, folder: Path) -> None:
        """Writes everything but the weights."""
        for name, config in (("llm", self.language_model), ("codec", self.codec), ("encoder", self.encoder)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "config.json").write_text(json.dumps(config))
        (folder / "llm" / "tokenizer.json").write_bytes(byte_tokenizer(self.language_model["vocab_size"]))
        settings = {
            "text": {"tokenizer_name": self.folders["llm"]},
            "discrete_audio": {
                "codec_choice": "Xcodec", "codec_hf_model_tag": self.folders["codec"], "ssl_choice": None,
                "delay_interleave": True,
            },
            "continuous_audio": {"encoder_choice": "huggingface", "encoder_hf_model_tag": self.folders["encoder"]},
        }  # fmt: skip
        train = {
            "multimodal_io": {name: settings[name] for name in self.io_order},
            "model": {"model_choice": "parallel", "model_hf_tag": self.folders["llm"]},
        }
        (folder / "train.yaml").write_text(yaml.safe_dump(train, sort_keys=False))
