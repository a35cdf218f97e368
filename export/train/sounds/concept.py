"""What the small world knows of a kind of sound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    label: str  # "church bell"
    name: str  # as it stands in an answer after "the sound of": "a church bell ringing"
    presence: list[str]  # as it stands in a question after "Is there": ["a bell", "a church bell"]
    requests: list[str]  # as people ask for it: ["a church bell", "church bell ringing", "a church bell rings"]
    accepted: set[str]  # AudioSet classes that count as having recognised it: itself, a synonym, its direct parent
    event: bool = False  # short and countable; otherwise a texture or a continuing sound
