"""Measures of answers about scenes."""

from __future__ import annotations

import random

from ...data import rendering, units
from ...world import scenes, small_world
from ..requests import answer, message
from ..subject import Subject
from ..table import Row, Tally


def verdict(said: str) -> str:
    """Returns the verdict of an answer: "yes" for "I hear …. So yes." and "Yes, I hear …."; other answers unchanged."""
    concluded = said.rpartition("So ")[2] if ". So " in said else said.split(",")[0]
    return concluded.strip(" .").lower()


def questions(subject: Subject) -> list[Row]:
    """Measures answers about order, number and presence in rendered scenes of held-out units."""
    random.seed(1)
    staged = units.extract(subject.held_out, small_world.IS_EVENT)
    asked = []
    while len(asked) < 16 * subject.count:
        scene = scenes.draw(held_out=True)
        kind = ("first", "last", "count", "order", "present")[len(asked) % 5]
        if any(label not in staged for label in scene.labels):
            continue
        if kind == "count" and not any(small_world.CONCEPTS[s.label].event for s in scene.sounds):
            continue
        samples, _ = rendering.render(scene, staged)
        asked.append((kind, samples, *scenes.QUESTIONS[kind](scene)))
    paths = subject.save("questions", (samples for _, samples, *_ in asked))
    results = subject.batch("questions", [message(("audio", p), ("text", q)) for p, (_, _, q, _) in zip(paths, asked)])
    tally = Tally()
    present = Tally()
    for (kind, _, _, truth), result in zip(asked, results):
        right = verdict(answer(result)) == verdict(truth)
        if kind == "present":
            present.add(verdict(truth), right)
        else:
            tally.add(kind, right)
    return [
        Row.of("order and count questions, unseen scenes", tally),
        Row.of("whether a sound is there, unseen scenes", present),
    ]
