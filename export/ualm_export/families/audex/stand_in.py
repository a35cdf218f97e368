"""Invented configs and tokenizer of an Audex checkpoint of the published 2B size, for packages of random weights.

The sizes are those of nvidia/Nemotron-Labs-Audex-2B. The tokenizer has its ids, markers and number of merges, but other words.
"""

import itertools

from ...byte_tokenizer import byte_symbols
from ...config import Config
from ...parts import Parts
from ...random_weights import RandomTensors
from .chat_check import read_chat
from .chat_schema import ChatSchema
from .chat_template import chat_template
from .model import Configs
from .template import SYSTEM
from .tokens import Tokens, tokens_of

_BODY = {
    "model_type": "nemotron_dense_audex", "hidden_act": "relu2", "hidden_size": 2048, "intermediate_size": 9216,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 1e8, "rope_type": "default"}, "max_position_embeddings": 131072, "vocab_size": 205312,
}  # fmt: skip
_HEARING = {
    "audio_config": {"model_type": "qwen2_audio_encoder"},  # its defaults are Whisper's largest model
    "audio_encoder_hidden_size": 1280, "audio_projector_intermediate_size": 4096,
    "audio_projector_activation": "relu2", "audio_projector_norm_eps": 1e-5,
}  # fmt: skip
_SPEECH = {
    "model_type": "audex_causal_speech_decoder", "hidden_dim": 2048, "depth": 12, "heads": 32, "pos_meb_dim": 64,
    "hop_length": 320, "vq_dim": 2048, "lookahead_steps": 4, "sample_rate": 16000, "codebook_levels": [4] * 8,
    "codebook_size": 65536, "token_embed_dim": 8,
}  # fmt: skip
_X_CODEC = {"model_type": "xcodec"}  # its defaults are the published sizes
_ENDS = [2, 11]
_NAMED = {
    0: "<unk>", 1: "<s>", 2: "</s>", 10: "<|im_start|>", 11: "<|im_end|>", 12: "<think>", 13: "</think>",
    29: "<so_embedding>", 30: "<so_start>", 31: "<so_end>",
}  # fmt: skip
_CONTROL_SLOTS = 1000
_TEXT_SIZE = 131072
_MARKERS = ("<reserved_marker>", "<audiogen_start>", "<audiogen_end>", "<speechgen_start>", "<speechgen_end>")
_SYMBOLS = {"speechcodec": 65536, "audiocodec": 8192}
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEMPLATE = (
    "{%- if messages[0].role != 'system' -%}{{ '<|im_start|>system\\n' + SYSTEM + '<|im_end|>\\n' }}{%- endif -%}"
    "{%- for m in messages -%}"
    "{{ '<|im_start|>' + m.role + '\\n' }}"
    "{{ '<think></think>' + m.content.split('</think>')[-1] if m.role == 'assistant' else m.content }}{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{ '<|im_start|>assistant\\n' + ('<think></think>' if enable_thinking is false else '<think>\\n') }}{%- endif -%}"
)
_TABLES = ("embed_tokens.weight", "codebook.embed")


def stand_in_2b() -> tuple[Configs, bytes, Tokens, ChatSchema]:
    """Returns configs, the package's tokenizer.json and its tokens, and the structure of the chat template."""
    body = Config(_BODY | _HEARING, "audex-2b")
    configs = Configs(body, body, Config(_SPEECH, "speech decoder"), Config(_X_CODEC, "X-codec"), _ENDS)
    tokenizer, tokens = tokens_of(_tokenizer(), "audex-2b")
    text = _TEMPLATE.replace("SYSTEM", repr(SYSTEM))
    return configs, tokenizer, tokens, read_chat(chat_template(text, Config({}, "audex-2b"), "audex-2b"), tokens)


def random_tensors(parts: Parts, seed: int = 0) -> RandomTensors:
    return RandomTensors(parts.tensor_shapes(), seed, _TABLES)


def _tokenizer() -> dict:
    """Builds tokenizer.json, codec symbols included."""
    control = {token: _NAMED.get(token, f"<SPECIAL_{token}>") for token in range(_CONTROL_SLOTS)}
    added = list(_MARKERS) + [f"<{kind}_{i}>" for kind, count in _SYMBOLS.items() for i in range(count)]
    special = control | dict(enumerate(added, _TEXT_SIZE))
    words, merges = _words(_TEXT_SIZE - _CONTROL_SLOTS)
    vocabulary = {name: token for token, name in special.items()} | {word: _CONTROL_SLOTS + i for i, word in enumerate(words)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    splits = {"type": "Split", "pattern": {"Regex": _PATTERN}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    front = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token, "content": name} | flags for token, name in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [splits, byte_level]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": front,
            "pair": [*front, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def _words(size: int) -> tuple[list[str], list[list[str]]]:
    """Returns `size` byte-level tokens, the 256 bytes first, and the merges of letters and of their pairs that build the others."""
    letters = "Ġetaoinshrdlcumwfgypbvkxjqz"
    words = byte_symbols()
    merges = []
    pairs = [a + b for a, b in itertools.product(letters, repeat=2)]
    for left, right in itertools.chain(
        itertools.product(letters, repeat=2), itertools.product(pairs, letters), itertools.product(pairs, repeat=2)
    ):
        if len(words) == size:
            break
        words.append(left + right)
        merges.append([left, right])
    return words, merges
