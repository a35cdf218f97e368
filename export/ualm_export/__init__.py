"""Turns checkpoints of unified audio language models into model packages for the `ualm` runtime."""

__version__ = "0.1.0"
