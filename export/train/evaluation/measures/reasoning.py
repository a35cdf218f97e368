"""Measures of reasoning about made sounds: self-reflection, critiques, and the best of several takes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from ...world import scenes, small_world
from ...world.scenes import Scene
from ..subject import Subject, samples_of
from ..table import Row, Tally


def reflection(subject: Subject) -> list[Row]:
    """Measures whether self-reflection's second sound satisfies the request more often than the first.

    The model reads the draft as its codec tokens or, with `listen`, hears it through its audio encoder.
    """
    rows = []
    for listen in (False, True):
        first = Tally()
        second = Tally()
        for i, scene in enumerate(_wanted(subject)):
            folder = subject.work / "reflection" / f"{i}{'-listen' if listen else ''}"
            chain(subject, scene, folder, i, *(["--listen"] if listen else []))
            sounds = sorted(folder.glob("*.wav"))
            size = f"{len(scene.sounds)} sounds"
            first.add(size, bool(sounds) and subject.scenes.finds(samples_of(sounds[0]), scene))
            second.add(size, len(sounds) > 1 and subject.scenes.finds(samples_of(sounds[-1]), scene))
        way = "heard" if listen else "read"
        rows += [Row.of("prompts satisfied by the draft of self-reflection", first), Row.of(f"by the sound after it, the draft {way}", second)]
    return rows


def chain(subject: Subject, scene: Scene, folder: Path, seed: int, *options: str) -> None:
    """Runs self-reflection about a scene; its segments and reply.json go to `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    subject.run("reason", scenes.describe(scene), "-o", folder, "--reflect", "--seed", str(seed), *options)


def critiques(subject: Subject) -> list[Row]:
    """Measures whether critiques are true, for drafts that the judge recognises.

    A correct draft is the model's own. A flawed draft is the model's own of another scene, put in the draft's place in the record of
    a chain, which then resumes: its flaw is known. Drafts that the judge does not recognise, or that end the chain, do not count.
    """
    right = Tally()
    detected = Tally()
    true = Tally()
    for i, wanted in enumerate(_wanted(subject)):
        random.seed(100 + i)
        other = scenes.flawed(wanted)
        size = f"{len(wanted.sounds)} sounds"
        folders = [subject.work / "critiques" / f"{i}-{name}" for name in ("right", "other", "flawed")]
        for scene, folder in zip((wanted, other), folders):
            chain(subject, scene, folder, i)
        if _is_draft_of(subject, folders[0], wanted):
            right.add(size, scenes.named_faults(_critique(folders[0])) == [])
        if _is_draft_of(subject, folders[1], other):
            found = scenes.named_faults(_with_draft(subject, *folders)) or []
            detected.add(size, bool(found))
            true.add(size, set(found) == set(scenes.faults(wanted, other)))
    return [
        Row.of("critiques of right drafts that say so", right),
        Row.of("critiques of flawed drafts that find fault", detected),
        Row.of("and name exactly what is wrong", true),
    ]


def _is_draft_of(subject: Subject, folder: Path, scene: Scene) -> bool:
    return _critique_file(folder).exists() and subject.scenes.finds(samples_of(folder / "02-draft.wav"), scene)


def _critique_file(folder: Path) -> Path:
    return folder / "03-critique.txt"


def _critique(folder: Path) -> str:
    return _critique_file(folder).read_text()


def _with_draft(subject: Subject, folder: Path, donor: Path, out: Path) -> str:
    """Returns the critique of the chain in `folder` with the draft of the chain in `donor`."""
    record, other = (json.loads((f / "reply.json").read_text()) for f in (folder, donor))
    record["turns"][0]["segments"][1] = other["turns"][0]["segments"][1]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "mixed.json").write_text(json.dumps(record))
    subject.run("reason", "--from", out / "mixed.json", "--segment", "3", "-o", out)
    return _critique(out)


def takes(subject: Subject) -> list[Row]:
    """Measures whether the best of four takes, by the model's own ranking, satisfies the request more often than one."""
    one = Tally()
    best = Tally()
    any_of = Tally()
    for i, scene in enumerate(_wanted(subject)):
        out = subject.work / "takes" / f"{i}.wav"
        out.parent.mkdir(parents=True, exist_ok=True)
        prompt = small_world.request(scenes.describe(scene))
        subject.run("generate", prompt, "-o", out, "--takes", "4", "--best", "--seed", str(10 * i))
        found = [subject.scenes.finds(samples_of(path), scene) for path in sorted(out.parent.glob(f"{i}.?.wav"))]
        size = f"{len(scene.sounds)} sounds"
        for hit in found:
            one.add(size, hit)
        best.add(size, subject.scenes.finds(samples_of(out), scene))
        any_of.add(size, any(found))
    return [
        Row.of("prompts satisfied by one take", one),
        Row.of("by the best of four, as the model ranks them", best),
        Row.of("by any of the four", any_of),
    ]


def _wanted(subject: Subject) -> list[Scene]:
    """Returns held-out scenes of two or three sounds: forty for ten prompts a kind."""
    random.seed(2)
    wanted: list[Scene] = []
    while len(wanted) < 4 * subject.count:
        scene = scenes.draw(held_out=True)
        if not scene.background:
            wanted.append(scene)
    return wanted
