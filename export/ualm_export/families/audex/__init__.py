"""Audex: NVIDIA's Nemotron-Labs-Audex, one stream of text, speech codes and audio codes, as it is published."""

from .checkpoint import open_checkpoint
from .folders import recognizes

__all__ = ["EXPECTED", "NAME", "UNUSED_OPTIONS", "open_checkpoint", "recognizes"]

NAME = "Audex"
EXPECTED = "an Audex repository with a checkpoint_folder_full in it"
UNUSED_OPTIONS = ("codec_encoder_precision",)
