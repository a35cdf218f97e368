"""Measures of hearing: kinds of sound and spoken digits."""

from __future__ import annotations

from collections import Counter

from ...world import small_world
from ..requests import answer, message
from ..subject import Subject
from ..table import Row, Tally


def hearing(subject: Subject) -> list[Row]:
    """Asks "What sound is this?" about recordings of the held-out fold and held-out made sounds."""
    clips = [r for r in subject.held_out if r.label in small_world.CONCEPTS]
    paths = subject.save("hearing", (r.samples for r in clips))
    results = subject.batch("hearing", [message(("audio", p), ("text", "What sound is this?")) for p in paths])
    tallies = {"sound": Tally(), "made": Tally()}
    mistaken = Counter()
    for clip, result in zip(clips, results):
        right = small_world.CONCEPTS[clip.label].name in answer(result)
        tallies[clip.kind].add(clip.label, right)
        if not right:
            mistaken[f"{clip.label} as {named(answer(result))}"] += 1
    return [
        Row.of("recorded sounds named, held-out fold", tallies["sound"]),
        Row.of("made sounds named, held-out variations", tallies["made"]),
        Row("of both, most often mistaken", ", ".join(f"{pair} {count}" for pair, count in mistaken.most_common(6)) or "none"),
    ]


def named(said: str) -> str:
    """Returns the kind of sound named in an answer."""
    found = [label for label, concept in small_world.CONCEPTS.items() if concept.name in said]
    return found[0] if found else said or "nothing"


def spoken_digits_heard(subject: Subject) -> list[Row]:
    """Transcribes every other recording of the held-out speaker."""
    clips = [r for r in subject.held_out if r.kind == "digit"][::2]
    paths = subject.save("digits-heard", (r.samples for r in clips))
    results = subject.batch("digits-heard", [message(("text", "Transcribe the speech."), ("speech", p)) for p in paths])
    tally = Tally()
    for clip, result in zip(clips, results):
        tally.add(clip.label, answer(result).strip(" .").lower() == clip.label)
    return [Row.of("digits heard, unseen speaker", tally)]
