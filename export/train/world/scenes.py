"""Scenes: one to three sounds in order, some of them repeated, perhaps over a background; and the sentences about them.

A scene is described in one canonical form (captions, plans, answers) and requested in many.
"""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass

from . import small_world as world

TIMES = {1: "once", 2: "twice", 3: "three times"}
NUMBERS = {1: ["one", "1"], 2: ["two", "2"], 3: ["three", "3"]}
BACKGROUND = "background"
SHARES = {1: 0.35, 2: 0.30, 3: 0.30, BACKGROUND: 0.05}  # of scenes: by number of sounds, or one sound over a background
MOST_UNITS = 5
ORDER_SHARE = 0.65  # of further questions
ALIKE_SHARE = 0.4  # of the questions about an absent sound: a similar sound is present
VERDICT = re.compile(r"(?<=\.) (First|So|But|This) ")  # begins the conclusion in answers and critiques
AS_PLANNED = "This is as planned."
FAULTS_JOINT = ", and "
BACKGROUNDS = ("rain", "sea waves", "wind", "fire crackling")
OVER_BACKGROUND = ("dog bark", "person sneeze", "church bell", "car horn", "knocking", "bird")


@dataclass(frozen=True)
class Sound:
    label: str
    count: int = 1  # of an event; always 1 for a continuing sound


@dataclass(frozen=True)
class Scene:
    sounds: tuple[Sound, ...]  # in order
    background: str | None = None

    def to_dict(self) -> dict:
        return {"sounds": [[s.label, s.count] for s in self.sounds], "background": self.background}

    @classmethod
    def from_dict(cls, stored: dict) -> Scene:
        return cls(tuple(Sound(label, count) for label, count in stored["sounds"]), stored["background"])

    @property
    def labels(self) -> list[str]:
        return [s.label for s in self.sounds] + ([self.background] if self.background else [])


@dataclass(frozen=True)
class Span:
    """The position of a sound in a scene, in seconds."""

    sound: Sound
    start: float
    end: float


# Drawing


def is_held_out(scene: Scene) -> bool:
    """Returns whether the scene is kept for tests: a tenth of all scenes of more than one sound."""
    return len(scene.sounds) > 1 and zlib.crc32(describe(scene).encode()) % 10 == 0


def draw(held_out: bool = False) -> Scene:
    """Draws a scene for training, or one that training never draws."""
    while True:
        scene = _draw()
        if is_held_out(scene) == held_out:
            return scene


def _draw() -> Scene:
    kind = random.choices(list(SHARES), list(SHARES.values()))[0]
    return over_background() if kind == BACKGROUND else Scene(draw_sounds(kind))


def draw_sound(label: str | None = None) -> Sound:
    label = label or random.choice(list(world.CONCEPTS))
    return Sound(label, random.choice((1, 1, 2, 2, 3)) if world.CONCEPTS[label].event else 1)


def draw_sounds(count: int) -> tuple[Sound, ...]:
    """Draws different sounds, events twice as often as continuing sounds; of three at most one is continuing."""
    labels = list(world.CONCEPTS)
    weights = [2 if world.CONCEPTS[label].event else 1 for label in labels]
    while True:
        drawn = random.choices(labels, weights if count > 1 else None, k=count)
        continuing = sum(not world.CONCEPTS[label].event for label in drawn)
        if len(set(drawn)) == count and (count < 3 or continuing <= 1):
            sounds = tuple(draw_sound(label) for label in drawn)
            if sum(s.count for s in sounds) <= MOST_UNITS:
                return sounds


def over_background() -> Scene:
    labels = [label for label in OVER_BACKGROUND if label in world.CONCEPTS]
    backgrounds = [label for label in BACKGROUNDS if label in world.CONCEPTS]
    return Scene((draw_sound(random.choice(labels)),), random.choice(backgrounds))


def flawed(scene: Scene) -> Scene:
    """Returns a scene that differs from the requested one: a sound is missing, wrong, repeated too often or in the wrong position."""
    sounds = list(scene.sounds)
    kinds = ["replace"] if len(sounds) == 1 else ["drop", "drop", "replace", "swap"]
    if any(world.CONCEPTS[s.label].event for s in sounds):
        kinds.append("recount")
    kind = random.choice(kinds)
    at = random.randrange(len(sounds))
    if kind == "drop":
        del sounds[at]
    elif kind == "replace":
        sounds[at] = draw_sound(random.choice([c for c in world.CONCEPTS if c not in scene.labels]))
    elif kind == "swap":
        at = random.randrange(len(sounds) - 1)
        sounds[at], sounds[at + 1] = sounds[at + 1], sounds[at]
    else:
        at = random.choice([i for i, s in enumerate(sounds) if world.CONCEPTS[s.label].event])
        sounds[at] = Sound(sounds[at].label, random.choice([n for n in TIMES if n != sounds[at].count]))
    return Scene(tuple(sounds), scene.background)


# Saying


def phrase(sound: Sound) -> str:
    concept = world.CONCEPTS[sound.label]
    return f"{concept.name} {TIMES[sound.count]}" if concept.event else concept.name


def describe(scene: Scene) -> str:
    """Returns the canonical caption: "a dog barking twice, then a church bell ringing once"."""
    text = ", then ".join(phrase(s) for s in scene.sounds)
    return f"{text}, with {world.CONCEPTS[scene.background].name} in the background" if scene.background else text


def plain_request(label: str) -> str:
    """Returns a request for a sound that does not say how often or how long."""
    concept = world.CONCEPTS[label]
    return random.choice(concept.requests) if random.random() < 0.8 else concept.name


def request(scene: Scene) -> str:
    """Returns one of many wordings of a request for a scene."""
    asked = [_asked(s, alone=len(scene.sounds) == 1) for s in scene.sounds]
    if len(asked) == 1:
        text = asked[0]
    elif len(asked) == 2 and random.random() < 0.25:
        text = random.choice(("{} before {}", "first {}, then {}", "{} and then {}", "{} followed by {}")).format(*asked)
    else:
        text = random.choice((", then ", ", then ", ", and then ", " then ", ", followed by ", ", after that ")).join(asked)
    if scene.background:
        text += random.choice((" with {} in the background", ", {} in the background", " while {} is heard", " over {}")).format(
            world.CONCEPTS[scene.background].name
        )
    return text


def _asked(sound: Sound, alone: bool) -> str:
    concept = world.CONCEPTS[sound.label]
    wanted = random.choice(concept.requests) if random.random() < 0.6 else concept.name
    if not concept.event:
        return wanted
    if sound.count == 1:
        return wanted if not alone and random.random() < 0.7 else f"{wanted} {random.choice(('once', 'one time'))}"
    number = random.choice(NUMBERS[sound.count])
    return f"{wanted} {random.choice((TIMES[sound.count], TIMES[sound.count], f'{number} times'))}"


def plan(scene: Scene, spans: list[Span]) -> str:
    """Returns the rich caption of UALM-Reason: keywords, layout in time, description."""
    caption = describe(scene)
    layout = "; ".join(f"{s.start:.1f}-{s.end:.1f} {phrase(s.sound)}" for s in spans)
    return f"Keywords: {', '.join(scene.labels)}. Layout: {layout}. Description: {caption[0].upper()}{caption[1:]}."


def faults(wanted: Scene, made: Scene) -> list[str]:
    """Lists the differences between the planned and the made scene."""
    found = []
    for sound in wanted.sounds:
        twin = next((s for s in made.sounds if s.label == sound.label), None)
        if twin is None:
            found.append(f"{world.CONCEPTS[sound.label].name} is missing")
        elif twin.count != sound.count:
            found.append(f"{world.CONCEPTS[sound.label].name} should be heard {TIMES[sound.count]}")
    asked = {s.label for s in wanted.sounds}
    found += [f"{world.CONCEPTS[s.label].name} was not asked for" for s in made.sounds if s.label not in asked]
    if not found and [s.label for s in made.sounds] != [s.label for s in wanted.sounds]:
        found.append("the order is wrong")
    return found


def verdict(found: list[str]) -> str:
    """Words the result of a comparison; it begins as `VERDICT` expects."""
    return f"But {FAULTS_JOINT.join(found)}." if found else AS_PLANNED


def named_faults(critique: str) -> list[str] | None:
    """Returns the faults that a critique names: an empty list if all is as planned, `None` if it has no verdict."""
    if AS_PLANNED in critique:
        return []
    begin = re.search(r"(?<=\.) But ", critique)
    return critique[begin.end() :].strip().rstrip(".").split(FAULTS_JOINT) if begin else None


def critique(wanted: Scene, made: Scene) -> str:
    """Words a critique: the planned scene and the made scene in the same words, then the differences."""
    return f"Planned: {describe(wanted)}. I hear {describe(made)}. {verdict(faults(wanted, made))}"


# Asking


def question(scene: Scene) -> tuple[str, str]:
    """Returns a question about a recording of the scene, and its true answer."""
    kinds = ["describe", "describe", "present"]
    if len(scene.sounds) > 1:
        kinds += ["first", "last", "order"]
    if _has_events(scene):
        kinds += ["count", "count"]
    return QUESTIONS[random.choice(kinds)](scene)


def further_question(scene: Scene) -> tuple[str, str]:
    """Returns a further question about a scene that was described before, mostly about the order, with its answer."""
    if len(scene.sounds) > 1 and random.random() < ORDER_SHARE:
        order = Order.draw(scene)
        return order.question(), f"{order.said()} {order.conclusion()}"
    return QUESTIONS["count" if _has_events(scene) and random.random() < 0.5 else "present"](scene)


def _has_events(scene: Scene) -> bool:
    return any(world.CONCEPTS[s.label].event for s in scene.sounds)


def _describe(scene: Scene) -> tuple[str, str]:
    if len(scene.sounds) == 1 and not scene.background:
        name = world.CONCEPTS[scene.sounds[0].label].name
        asked, answer = random.choice(world.QUESTIONS)
        return asked, answer.format(name)
    asked = random.choice(world.DESCRIBE)
    return asked, f"I hear {describe(scene)}."


def presence(labels: list[str], heard: str) -> tuple[str, str]:
    """Returns a question about the presence of a sound, and its answer. `labels` are the sounds of the clip, `heard` names them.

    Half of the questions ask for an absent sound, often a similar one.
    """
    there = bool(labels) and random.random() < 0.5
    others = [c for c in world.CONCEPTS if c not in labels]
    alike = [c for label in labels for c in world.ALIKE.get(label, ()) if c not in labels]
    label = random.choice(labels if there else alike if alike and random.random() < ALIKE_SHARE else others)
    asked = random.choice(world.PRESENCE).format(random.choice(world.CONCEPTS[label].presence))
    return asked, concluded(heard, "yes" if there else "no")


def concluded(heard: str, verdict: str) -> str:
    """Words an answer: the sounds that are heard, then the conclusion. A small model cannot conclude before it has said its premises."""
    return f"I hear {heard}. So {verdict}."


def _present(scene: Scene) -> tuple[str, str]:
    return presence(scene.labels, describe(scene))


def _count(scene: Scene) -> tuple[str, str]:
    """The conclusion names the sound again: a number alone was that of another sound of the scene in every third answer."""
    sound = random.choice([s for s in scene.sounds if world.CONCEPTS[s.label].event])
    asked = random.choice(world.HOW_MANY).format(random.choice([world.CONCEPTS[sound.label].name, *world.CONCEPTS[sound.label].presence]))
    return asked, concluded(describe(scene), phrase(sound))


def _first(scene: Scene) -> tuple[str, str]:
    return random.choice(world.WHAT_FIRST), f"First I hear {world.CONCEPTS[scene.sounds[0].label].name}."


def _last(scene: Scene) -> tuple[str, str]:
    return random.choice(world.WHAT_LAST), f"Last I hear {world.CONCEPTS[scene.sounds[-1].label].name}."


@dataclass(frozen=True)
class Order:
    """Two sounds of a scene, in a question about their order."""

    asked: tuple[str, str]  # labels
    is_true: bool

    @classmethod
    def draw(cls, scene: Scene) -> Order:
        first, second = random.sample(range(len(scene.sounds)), 2)
        return cls((scene.sounds[first].label, scene.sounds[second].label), first < second)

    def question(self) -> str:
        return random.choice(world.BEFORE).format(*(random.choice(world.CONCEPTS[label].presence) for label in self.asked))

    def said(self) -> str:
        """The question in the words of the answers, because a comparison needs the same words on both sides."""
        one, other = (world.CONCEPTS[label].name for label in self.asked)
        return f"You ask for {one} before {other}."

    def conclusion(self) -> str:
        earlier, verdict = (self.asked[0], "yes") if self.is_true else (self.asked[1], "no")
        return f"First {world.CONCEPTS[earlier].name}. So {verdict}."


def _order(scene: Scene) -> tuple[str, str]:
    order = Order.draw(scene)
    return order.question(), f"{order.said()} I hear {describe(scene)}. {order.conclusion()}"


QUESTIONS = {"describe": _describe, "present": _present, "count": _count, "first": _first, "last": _last, "order": _order}
