"""Stage `checkpoint`: writes the trained parts as one checkpoint in the format of the UALM authors' trainer."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer

from .audio import SAMPLING_RATE
from .audio.log_mel import HOP, MEL_BINS, N_FFT
from .codec.spectral_codec import SpectralCodec
from .encoder.audio_tower import AudioTower
from .files import write_atomically
from .language_model import dialogue
from .language_model import tokenizer as tokenizer_files
from .language_model.model import LanguageModel
from .sounds import midi
from .world import small_world

CODEC_PREFIX = "multimodal_io_dict.discrete_audio.codec_model."
TOWER_PREFIX = "multimodal_io_dict.continuous_audio.model.audio_tower."
MAX_INPUT_SECONDS = 300

GENERATION = {
    "text": {"temperature": 0.0, "top_k": 20, "guidance": 1.0, "max_steps": 128},
    "audio": {"temperature": 1.15, "top_k": 20, "guidance": 2.0, "max_steps": 400},
    "speech": {"temperature": 0.0, "top_k": 20, "guidance": 3.0, "max_steps": 200},
}
PROMPTS = {
    "ask": "What do you hear?",
    "transcribe": "Transcribe the speech.",
}
REASONING = {
    "default": "reflect",
    "modes": ["enrich", "dialogue", "reflect"],
    "prompts": {"enrich": small_world.ENRICH, "dialogue": small_world.DIALOGUE, "reflect": small_world.REFLECT},
}


def write(
    folder: Path, model: LanguageModel, tower: AudioTower, codec: SpectralCodec, tokenizer: Tokenizer, attribution: str, half_trained: bool
) -> None:
    """Writes the checkpoint to a folder beside `folder`, which then replaces it."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    state = {"module": state_dict(model, tower, codec)}
    write_atomically(partial / "mp_rank_00_model_states.pt", lambda file: torch.save(state, file))
    (partial / "train.yaml").write_text(yaml.safe_dump(train_yaml(codec), sort_keys=False), encoding="utf-8")
    _json(partial / "llm" / "config.json", llm_config(model))
    tokenizer_files.save(tokenizer, partial / "llm")
    _json(partial / "encoder" / "config.json", tower_config(tower))
    _json(partial / "encoder" / "preprocessor_config.json", preprocessor_config())
    _json(partial / "codec" / "config.json", codec.config.to_dict())
    _json(partial / "package.json", package(attribution, half_trained))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    print(f"{folder}: {sum(t.numel() for t in state['module'].values()) / 1e6:.1f} M values")


def state_dict(model: LanguageModel, tower: AudioTower, codec: SpectralCodec) -> dict[str, torch.Tensor]:
    result = dict(model.state_dict())
    result |= {CODEC_PREFIX + k: v for k, v in codec.state_dict().items()}
    result |= {TOWER_PREFIX + k: v for k, v in tower.state_dict().items()}
    return {k: v.detach().clone().contiguous() for k, v in result.items()}


def train_yaml(codec: SpectralCodec) -> dict:
    streams = codec.config.num_codebooks
    return {
        "job_type": "ualm",
        "multimodal_io": {
            "text": {"tokenizer_name": "llm"},
            "discrete_audio": {
                "codec_choice": "Spectral",
                "codec_hf_model_tag": "codec",
                "ssl_choice": None,
                "delay_interleave": True,
                "stream_weights": [1 / streams] * streams,
            },
            "continuous_audio": {
                "encoder_choice": "huggingface",
                "encoder_hf_model_tag": "encoder",
                "dtype": "float32",
            },
        },
        "model": {"model_choice": "parallel", "model_hf_tag": "llm", "model_conf": {"dtype": "float32"}},
        "preprocessor": {
            "audio_input": "continuous_audio",
            "audio_output": "discrete_audio",
            "loss_region": "assistant",
            "audio_cfg": dialogue.GUIDED_SHARE,
        },
        "data_loading": {"batchfy_method": "bucket"},
    }


def llm_config(model: LanguageModel) -> dict:
    c = model.config
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "attention_dropout": 0.0,
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": c.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": c.intermediate_size,
        "layer_types": ["full_attention"] * c.num_hidden_layers,
        "max_position_embeddings": c.max_position_embeddings,
        "max_window_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads,
        "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": c.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": c.vocab_size,
    }


def tower_config(tower: AudioTower) -> dict:
    c = tower.config
    audio = {
        "model_type": "qwen2_5_omni_audio_encoder",
        "activation_function": "gelu",
        "activation_dropout": 0.0,
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "d_model": c.d_model,
        "encoder_attention_heads": c.encoder_attention_heads,
        "encoder_ffn_dim": c.encoder_ffn_dim,
        "encoder_layers": c.encoder_layers,
        "num_hidden_layers": c.encoder_layers,
        "max_source_positions": 1500,
        "n_window": c.n_window,
        "num_mel_bins": c.num_mel_bins,
        "output_dim": c.output_dim,
        "scale_embedding": False,
    }
    return {"model_type": "qwen2_5_omni", "thinker_config": {"audio_config": audio}}


def preprocessor_config() -> dict:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "chunk_length": MAX_INPUT_SECONDS,
        "dither": 0.0,
        "feature_size": MEL_BINS,
        "hop_length": HOP,
        "n_fft": N_FFT,
        "n_samples": MAX_INPUT_SECONDS * SAMPLING_RATE,
        "nb_max_frames": MAX_INPUT_SECONDS * SAMPLING_RATE // HOP,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": SAMPLING_RATE,
    }


def package(attribution: str, half_trained: bool) -> dict:
    """Builds `package.json`, whose fields the exporter copies into the package's manifest."""
    return {
        "name": "ualm-small-world",
        "license": "CC BY-SA 4.0",
        "origin": "Trained from scratch by export/train on ESC-10, the Free Spoken Digit Dataset, and sounds and voices made for it.",
        "attribution": attribution,
        "half_trained": half_trained,
        "generation": GENERATION,
        "prompts": PROMPTS,
        "reasoning": REASONING,
        "known_words": small_world.known_words(),
    }


def attribution(data: Path) -> str:
    """Builds the attribution of the recordings, sounds and voices that the weights were trained on."""
    lines = [
        "ESC-10, K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015; recordings from freesound.org:",
    ]
    table = data / "esc10" / "ATTRIBUTION.tsv"
    if not table.exists():
        print(f"note: {table} is missing, so the checkpoint does not name the authors of ESC-10's recordings", file=sys.stderr)
    else:
        rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
        lines += sorted({f"{title} by {author} ({licence}), {source}" for _, _, licence, author, title, source in rows})
    lines.append("Free Spoken Digit Dataset, Z. Jackson and others, CC BY-SA 4.0, https://github.com/Jakobovski/free-spoken-digit-dataset")
    lines.append(midi.ATTRIBUTION)
    lines.append("Voices: flite (Carnegie Mellon University, BSD-like licence), espeak-ng, Pico (SVOX AG) and Kokoro-82M (hexgrad), Apache License 2.0")
    return "\n".join(lines)


def _json(path: Path, document: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
