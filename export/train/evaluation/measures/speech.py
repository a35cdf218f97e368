"""Measures of made speech."""

from __future__ import annotations

import random

from ...sounds.voices import DIGITS
from ..requests import made, message
from ..subject import Subject
from ..table import Row, Tally

STRING_LENGTHS = (2, 3)


def speech(subject: Subject) -> list[Row]:
    """Measures spoken digits, alone and in strings; the former relative to the training voices after the codec."""
    alone = _spoken(subject, "speech", [[word] for word in DIGITS for _ in range(subject.count)])
    clear = [r for r in subject.training if r.kind == "clear" and r.label in DIGITS][::2]
    learned = Tally()
    for recording, samples in zip(clear, subject.round_trip("speech", [r.samples for r in clear])):
        learned.add(recording.split, subject.digits.read(samples) == [recording.label])
    random.seed(5)
    strings = [random.choices(DIGITS, k=length) for length in STRING_LENGTHS for _ in range(3 * subject.count)]
    return [
        Row.of("digits spoken, read by PocketSphinx", alone),
        Row.of("the recordings they were learned from, after the codec", learned),
        Row("spoken, relative to the recordings", f"{alone.share / learned.share:.2f}" if learned.share else "none of the recordings is read"),
        Row.of("strings of digits spoken, read by PocketSphinx", _spoken(subject, "strings", strings)),
    ]


def _spoken(subject: Subject, name: str, strings: list[list[str]]) -> Tally:
    """Counts how many strings of digits are spoken as requested, by the digit or, of longer ones, by the length."""
    requests = [{**message(("text", " ".join(s))), "force": ["speech"], "max_segments": 1, "seed": i} for i, s in enumerate(strings)]
    tally = Tally()
    for words, result in zip(strings, subject.batch(name, requests)):
        label = words[0] if len(words) == 1 else f"of {len(words)}"
        tally.add(label, subject.digits.read(made(subject, name, result)) == words)
    return tally
