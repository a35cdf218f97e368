"""A kind of sound in the small world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    label: str  # "church bell"
    name: str  # in an answer after "the sound of": "a church bell ringing"
    presence: list[str]  # in a question after "Is there": ["a bell", "a church bell"]
    requests: list[str]  # in a request: ["a church bell", "church bell ringing", "a church bell rings"]
    accepted: set[str]  # AudioSet classes that count as recognition: the class itself, a synonym, its direct parent
    event: bool = False  # short and countable; otherwise a texture or a continuing sound
