#!/usr/bin/env python3
"""Writes a Qwen2 checkpoint with random weights and a byte-level tokenizer, for genai's model builder."""

import argparse
from pathlib import Path

import torch
from sizes import LANGUAGE_MODELS, config
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=list(LANGUAGE_MODELS), required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    Qwen2ForCausalLM(config(arguments.size)).save_pretrained(arguments.out)
    alphabet = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="!", pad_token="!", bos_token="!")
    fast.save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
