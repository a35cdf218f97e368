"""A random Audex checkpoint of unusual sizes: its numbers differ from the published model's and the reference's."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from audex_checkpoint import AUDIOGEN, FULL, INDEX, SINGLE, SPEECH, XCODEC
from checkpoint_writer import write_safetensors
from ualm_export.byte_tokenizer import byte_symbols
from ualm_export.config import Config
from ualm_export.families.audex.chat_check import read_chat
from ualm_export.families.audex.chat_template import chat_template
from ualm_export.families.audex.model import SPEECH_PREFIX, XCODEC_PREFIX, Configs, parts_of
from ualm_export.families.audex.stand_in import random_tensors
from ualm_export.families.audex.tokens import tokens_of
from ualm_export.options import Options

LANGUAGE_MODEL = {
    "model_type": "nemotron_dense_audex", "hidden_act": "relu2", "hidden_size": 48, "intermediate_size": 72,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "norm_eps": 1e-6,
    "rope_theta": 5000.0, "max_position_embeddings": 300, "vocab_size": 2460, "logit_scale": 0.25, "eos_token_id": 7,
    "audio_config": {
        "model_type": "qwen2_audio_encoder", "d_model": 24, "encoder_ffn_dim": 40, "encoder_layers": 1,
        "encoder_attention_heads": 2, "num_mel_bins": 80, "max_source_positions": 100,
    },
    "audio_encoder_hidden_size": 24, "audio_projector_intermediate_size": 36, "audio_projector_activation": "gelu",
    "audio_projector_norm_eps": 1e-4, "sound_clip_duration": 2.0, "sound_embedding_size": 50,
}  # fmt: skip
SPEECH_DECODER = {
    "model_type": "audex_causal_speech_decoder", "hidden_dim": 36, "depth": 2, "heads": 3, "pos_meb_dim": 12,
    "hop_length": 160, "vq_dim": 20, "lookahead_steps": 0, "sample_rate": 16000, "codebook_levels": [5, 3, 7],
    "codebook_size": 105, "token_embed_dim": 3,
}  # fmt: skip
X_CODEC = {
    "model_type": "xcodec", "sample_rate": 16000, "codebook_size": 256, "target_bandwidths": [0.4, 3.2],
    "acoustic_model_config": {
        "encoder_hidden_size": 4, "downsampling_ratios": [8, 5, 4, 2], "decoder_hidden_size": 32,
        "upsampling_ratios": [8, 5, 4, 2], "hidden_size": 12,
    },
    "semantic_model_config": {
        "hidden_size": 20, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 9, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
        "do_stable_layer_norm": True, "conv_bias": True,
    },
}  # fmt: skip
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content|trim + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{{ '<think>' if enable_thinking is defined and enable_thinking else '<think></think>\\n' }}{% endif %}"
)
MARKERS = (
    "</s>", "<unk>", "<s>", "<|im_start|>", "<think>", "</think>", "<so_start>", "<so_embedding>", "<so_end>",
    "<speechgen_end>", "<speechgen_start>", "<audiogen_end>", "<audiogen_start>",
)  # fmt: skip
FIRST_MARKER = 7


def tokenizer(speech: int = 105, audio: int = 2048, front: str | None = None) -> dict:
    """Returns markers, the codec symbols before the bytes, and one more marker after all; no merges."""
    names = list(MARKERS) + [f"<audiocodec_{i}>" for i in range(audio)] + [f"<speechcodec_{i}>" for i in range(speech)]
    added = dict(enumerate(names, FIRST_MARKER))
    first_byte = FIRST_MARKER + len(names)
    vocabulary = {symbol: first_byte + i for i, symbol in enumerate(byte_symbols())}
    added[first_byte + len(vocabulary)] = "<last>"
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
        "added_tokens": [{"id": token, "content": name} | flags for token, name in added.items()],
        "post_processor": None, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocabulary | {name: token for token, name in added.items()}, "merges": [],
        },
    }  # fmt: skip


def copied(values: dict) -> dict:
    return json.loads(json.dumps(values))


@dataclass
class SyntheticAudex:
    """The settings of the checkpoint. A test changes some, then calls `write`."""

    language_model: dict = field(default_factory=lambda: copied(LANGUAGE_MODEL))
    speech_decoder: dict = field(default_factory=lambda: copied(SPEECH_DECODER))
    xcodec: dict = field(default_factory=lambda: copied(X_CODEC))
    tokenizer: dict = field(default_factory=tokenizer)
    template: str = TEMPLATE
    token_names: dict = field(default_factory=lambda: {"bos_token": "<s>", "eos_token": {"content": "</s>"}})

    def tensors(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Returns random tensors of the whole model, by the exporter's names."""
        config = Config(self.language_model, "language model")
        configs = Configs(
            config, config, Config(self.speech_decoder, "speech"), Config(self.xcodec, "xcodec"), config.get("eos_token_id")
        )
        _, tokens = tokens_of(copied(self.tokenizer), "tokenizer")
        chat = read_chat(chat_template(self.template, Config(self.token_names, "names"), "template"), tokens)
        random = random_tensors(parts_of(configs, tokens, chat, {}, Options()), seed)
        return {name: random[name][:] for name in random}

    def write(self, folder: Path, tensors: dict[str, np.ndarray]) -> Path:
        """Writes a repository with the language model in two shards, and X-codec beside it; returns its folder."""
        config = {"model_type": "nemotron_labs_audex"}
        audiogen = {name: value for name, value in self.language_model.items() if not name.startswith(("audio", "sound"))}
        audiogen["model_type"] = "nemotron_dense"
        _write_json(folder / "config.json", config)
        for name, content in ((FULL, self.language_model), (AUDIOGEN, audiogen)):
            _write_json(folder / name / "config.json", content)
            _write_json(folder / name / "tokenizer.json", self.tokenizer)
            _write_json(folder / name / "tokenizer_config.json", self.token_names | {"chat_template": self.template})
        _write_json(folder / SPEECH / "config.json", self.speech_decoder)
        _write_json(folder / XCODEC / "config.json", self.xcodec)
        for name, prefix in ((SPEECH, SPEECH_PREFIX), (XCODEC, XCODEC_PREFIX)):
            write_safetensors(folder / name / SINGLE, _within(tensors, prefix))
        self._write_shards(folder, tensors)
        return folder

    def _write_shards(self, folder: Path, tensors: dict[str, np.ndarray]) -> None:
        other = (SPEECH_PREFIX, XCODEC_PREFIX)
        model = {name: array for name, array in tensors.items() if not name.startswith(other)}
        hears = {name for name in model if name.startswith("audio_")}
        weight_map = {name: f"model-0000{2 if name in hears else 1}-of-00002.safetensors" for name in model}
        for shard in sorted(set(weight_map.values())):
            part = {name: model[name] for name in model if weight_map[name] == shard}
            write_safetensors(folder / FULL / shard, part)
        _write_json(folder / FULL / INDEX, {"weight_map": weight_map})
        speaks = {name: shard for name, shard in weight_map.items() if name not in hears}
        _write_json(folder / AUDIOGEN / INDEX, {"weight_map": speaks})


def _within(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
