"""Measures of made speech."""

from __future__ import annotations

from ...sounds.voices import DIGITS
from ..requests import made, message
from ..subject import Subject
from ..table import Row, Tally


def speech(subject: Subject) -> list[Row]:
    """Measures spoken digits, relative to the training voices after the codec."""
    words = [word for word in DIGITS for _ in range(subject.count)]
    requests = [{**message(("text", w)), "force": ["speech"], "max_segments": 1, "seed": i} for i, w in enumerate(words)]
    tally = Tally()
    for word, result in zip(words, subject.batch("speech", requests)):
        tally.add(word, subject.digits.read(made(subject, "speech", result)) == [word])
    clear = [r for r in subject.training if r.kind == "clear" and r.label in DIGITS][::2]
    learned = Tally()
    for recording, samples in zip(clear, subject.round_trip("speech", [r.samples for r in clear])):
        learned.add(recording.split, subject.digits.read(samples) == [recording.label])
    return [
        Row.of("digits spoken, read by PocketSphinx", tally),
        Row.of("the recordings they were learned from, after the codec", learned),
        Row("spoken, relative to the recordings", f"{tally.share / learned.share:.2f}" if learned.share else "none of the recordings is read"),
    ]
