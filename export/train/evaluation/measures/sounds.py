"""Measures of made sounds, and of the codec that limits them."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np

from ...audio import SAMPLING_RATE
from ...audio.augment import trim_silence
from ...world import small_world
from ..judges import SoundJudge
from ..requests import made, message
from ..subject import Subject
from ..table import Row, Tally

REPEATED = 3  # copies of a short event in the judged clip


def recognised(judge: SoundJudge, samples: np.ndarray, label: str) -> bool:
    """Returns whether the judge's five likeliest classes contain the label; a short event is repeated."""
    if len(samples) == 0 or np.abs(samples).max() < 1e-4:
        return False
    samples = trim_silence(samples, 0.01)
    if small_world.CONCEPTS[label].event and len(samples) < 1.5 * SAMPLING_RATE:
        samples = np.tile(np.pad(samples, (0, SAMPLING_RATE // 5)), REPEATED)
    return judge.recognises(samples, label)


def codec(subject: Subject) -> list[Row]:
    """Measures how often the judge still recognises sounds after the codec."""
    clips = [r for r in subject.held_out if r.label in small_world.CONCEPTS]
    trimmed = [trim_silence(r.samples, 0.01) for r in clips]
    after = subject.round_trip("codec", trimmed)
    before = Tally()
    kept = Tally()
    top = Tally()
    rates = defaultdict(Tally)
    for clip, first, second in zip(clips, trimmed, after):
        found = recognised(subject.sounds, first, clip.label)
        again = recognised(subject.sounds, second, clip.label)
        before.add(clip.kind, found)
        rates[clip.label].add("", again)
        if found:
            kept.add(clip.kind, again)
        top.add(clip.kind, subject.sounds.top(first, 1)[0] in subject.sounds.top(second))
    rates_of_codec(subject).write_text(json.dumps({label: tally.share for label, tally in rates.items()}, indent=1) + "\n")
    return [
        Row.of("judge finds the kind of sound in held-out clips", before),
        Row.of("of those, still found after the codec", kept),
        Row.of("the judge's first answer before is among its five after", top),
    ]


def generation(subject: Subject, **audio: float) -> list[Row]:
    """Measures recognition of generated sounds, some prompts for each kind; also relative to real clips after the codec."""
    random.seed(0)
    labels = [label for label in small_world.CONCEPTS for _ in range(subject.count)]
    prompts = [small_world.request(random.choice(small_world.CONCEPTS[label].requests)) for label in labels]
    requests = [
        {**message(("text", p)), "force": ["audio"], "max_segments": 1, "seed": i, "audio": audio} for i, p in enumerate(prompts)
    ]
    name = "-".join(["generation", *(f"{key}-{value:g}" for key, value in audio.items())])
    tally = Tally()
    shares = defaultdict(Tally)
    seconds = []
    for label, result in zip(labels, subject.batch(name, requests)):
        samples = made(subject, name, result)
        hit = recognised(subject.sounds, samples, label)
        tally.add(label, hit)
        shares[label].add("", hit)
        seconds.append(len(samples) / SAMPLING_RATE)
    settings = ", ".join(f"{key} {value:g}" for key, value in audio.items())
    rows = [Row.of(f"sounds made{settings and f' with {settings}'}, judge's top five", tally)]
    rows.append(Row("length of a plain prompt's sound", f"median {np.median(seconds):.1f} s, a tenth below {np.quantile(seconds, 0.1):.1f} s"))
    stored = rates_of_codec(subject)
    if not audio and stored.exists():
        real = json.loads(stored.read_text())
        ratio = np.mean([shares[label].share for label in real]) / np.mean(list(real.values()))
        rows.append(Row("relative to held-out clips after the codec", f"{ratio:.2f}"))
    return rows


def guidance(subject: Subject) -> list[Row]:
    """Compares no guidance with the paper's, at the package's temperature and at the paper's."""
    temperatures = ({}, {"temperature": 0.8})
    return [row for t in temperatures for g in (1.0, 3.0) for row in generation(subject, guidance=g, **t)]


def rates_of_codec(subject: Subject) -> Path:
    """Returns the file of the share of clips of each kind that the judge names after the codec."""
    return subject.work / "round-trip.json"
