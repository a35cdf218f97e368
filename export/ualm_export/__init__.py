"""Turns a UALM checkpoint, as its trainer writes it, into a model package for the `ualm` runtime."""

__version__ = "0.1.0"
