"""A byte-level BPE tokenizer without merges, in the format of `tokenizers`: it spells any text byte by byte."""

import json


def byte_symbols() -> list[str]:
    """Returns the printable character of each of the 256 bytes, as GPT-2 chose them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    symbols |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [symbols[byte] for byte in range(256)]


def byte_tokenizer(size: int) -> bytes:
    """Returns tokenizer.json of `size` tokens: the bytes in Qwen's order ("!" is 0), then numbered words."""
    if size < 256:
        raise ValueError(f"{size} tokens; a byte-level tokenizer has at least 256")
    symbols = sorted(byte_symbols())
    tokens = symbols + [f"Ġword{i}" for i in range(size - len(symbols))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [],
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
