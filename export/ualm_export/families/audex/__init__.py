"""Audex: NVIDIA's Nemotron-Labs-Audex as published, with one stream of text, speech codes and audio codes."""

from .checkpoint import LICENSE, open_checkpoint
from .folders import recognizes, recognizes_listing, wanted, wanted_xcodec

__all__ = [
    "COMPANIONS", "EXPECTED", "LICENSE", "NAME", "UNUSED_OPTIONS", "open_checkpoint", "recognizes", "recognizes_listing", "wanted",
]  # fmt: skip

NAME = "Audex"
EXPECTED = "an Audex repository with a checkpoint_folder_full in it"
UNUSED_OPTIONS = ("codec_encoder_precision",)
COMPANIONS = {"xcodec": ("hf-audio/xcodec-hubert-general-balanced", wanted_xcodec)}
"""Repositories beside the published one, by their options, with the functions that select their files."""
