"""Requests to the program, and the answers and sounds of its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .subject import Subject, samples_of


def message(*parts: tuple[str, str | Path]) -> dict:
    """Returns a request with a message of parts: (modality, text or path)."""
    content = [{"type": kind, "text" if kind == "text" else "path": str(value)} for kind, value in parts]
    return {"messages": [{"role": "user", "content": content}]}


def answer(result: dict) -> str:
    """Returns the text of a reply, without its thoughts."""
    return " ".join(s["text"] for s in result.get("segments", []) if s["modality"] == "text")


def made(subject: Subject, name: str, result: dict) -> np.ndarray:
    """Returns the samples of the last sound of a reply; empty without a sound."""
    sounds = [s["audio"] for s in result.get("segments", []) if s.get("audio")]
    return samples_of(subject.work / name / sounds[-1]) if sounds else np.zeros(0, np.float32)
