"""A small byte-level BPE, trained on the small world's texts and written as Qwen2Tokenizer's files.

Token id 0 is "!" (as in Qwen). It would collide with the pad id in a prompt, so no text of the recipe contains it.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(texts: list[str], size: int) -> Tokenizer:
    """Trains a tokenizer of at most `size` tokens, the end-of-text token included."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    assert tokenizer.token_to_id("!") == 0
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes every file that Hugging Face's Qwen2Tokenizer reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    end = tokenizer.token_to_id(END_OF_TEXT)
    token = dict(content=END_OF_TEXT, lstrip=False, normalized=False, rstrip=False, single_word=False)
    documents = {
        "added_tokens.json": {END_OF_TEXT: end},
        "special_tokens_map.json": {"eos_token": token, "pad_token": token},
        "tokenizer_config.json": {
            "added_tokens_decoder": {str(end): {**token, "special": True}},
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n")
