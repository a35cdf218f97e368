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
    """Returns the text of a reply."""
    return " ".join(s.get("text", "") for s in result.get("segments", []))


def made(subject: Subject, name: str, result: dict, last: bool = True) -> np.ndarray:
    """Returns the samples of the last (or first) sound of a reply; empty without a sound."""
    sounds = [s["audio"] for s in result.get("segments", []) if s.get("audio")]
    return samples_of(subject.work / name / sounds[-1 if last else 0]) if sounds else np.zeros(0, np.float32)
