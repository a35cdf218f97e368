#!/usr/bin/env python3
"""Checks and measures execution providers on this machine's devices, and writes one JSON file and one Markdown table.

    python3 scripts/device_check.py cuda webgpu --package target/random/0.5b-int8

Needs the built program (target/release/ualm), for each provider ONNX Runtime's library with the provider beside it
(scripts/fetch_onnxruntime.py --flavour cuda, --flavour webgpu), and Python 3.10 or later; no network, no packages of Python. The
packages that are checked are those of `make fixtures` that are there, the default package, and those that are named; speed is measured
on those that are named, or else on the default package. From nothing to the table, on another machine too: docs/providers.md.

Each part of the work has a time limit of its own, and the whole keeps to --seconds: what is not reached is listed. A part that fails is
recorded, and the next one follows. Both files are written anew after every part. The exit code is 1 if a number was wrong or a part
failed, and 0 if all that was reached is right.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

import fetch_onnxruntime

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = os.name == "nt"
# The measures, and their shares of the time.
BENCH = {"steps 128": 3, "prefill": 3, "codec": 2, "steps 1024": 3, "clip": 2, "steps 4096": 4}
PROMPTS = (64, 512)
RUNS = 3
# The steps of a greedy reply whose ids are compared.
STEPS = 48
# A part may take this multiple of its share of the remaining time, and this many seconds in any case.
MOST_SHARES = 4
LEAST = 8.0
# Reserved for writing the results.
RESERVE = 3.0
# With less time left, no part starts.
SHORTEST = 2.0
GUIDANCE = 3.0
# Characters of a failure in the table; the JSON file has more.
LONGEST = 300
LONG_PROMPT = "rain falls on a roof while a dog barks and a bell rings; " * 6
# The subjects of the references, the exact ones first.
NAMES = ("tiny-omni", "tiny-afwhisper", "tiny-audex")
REFERENCES = [f"{name}-{precision}" for precision in ("fp32", "int8", "int4") for name in NAMES]


# --- packages and requests


@dataclasses.dataclass(frozen=True)
class Package:
    """A package, with the fields of its manifest that determine its requests."""

    label: str
    folder: Path
    precision: str
    modalities: tuple[str, ...]
    hears: bool
    variants: tuple[str, ...]
    positions: int

    @classmethod
    def read(cls, folder: Path) -> Package:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        label = f"{manifest['name']} ({manifest['precision']})"
        variants = tuple(manifest.get("variants") or ())
        positions = manifest["language_model"]["max_positions"]
        hears = bool(manifest.get("audio_encoder"))
        return cls(label, folder, manifest["precision"], tuple(manifest["modalities"]), hears, variants, positions)

    def is_exact_on(self, provider: str) -> bool:
        """Returns whether its arithmetic is float32 on `provider`, so that greedy replies must equal those of the CPU."""
        return self.precision == "fp32" and provider not in self.variants


def requests_for(package: Package, sound: Path) -> list[dict]:
    """Returns greedy requests that use every graph: short and long prompts, a recording, and sound with and without guidance."""

    def request(name: str, modality: str, *parts: dict, **settings: float) -> dict:
        settings = {"temperature": 0, "max_steps": STEPS, "min_steps": STEPS, **settings}
        message = {"role": "user", "content": list(parts)}
        ends = {"force": [modality], "max_segments": 1, "thinking": False, "seed": 1}
        return {"id": name, "messages": [message], modality: settings, **ends}

    def words(text: str) -> dict:
        return {"type": "text", "text": text}

    asked = []
    if "text" in package.modalities:
        asked.append(request("text", "text", words("what sounds can you hear?")))
        asked.append(request("long-prompt", "text", words(LONG_PROMPT)))
        if package.hears:
            asked.append(request("recording", "text", {"type": "audio", "path": str(sound)}, words("describe the audio in detail")))
    for modality in ("audio", "speech"):
        if modality in package.modalities:
            asked.append(request(modality, modality, words("a dog barks twice"), guidance=1.0))
            asked.append(request(f"{modality}-guided", modality, words("a dog barks twice"), guidance=GUIDANCE))
    return asked


def write_sound(path: Path, seconds: int = 3, rate: int = 16000) -> None:
    """Writes a tone that rises from 200 Hz."""
    samples = [int(12000 * math.sin(2 * math.pi * (200 + 150 * n / rate) * n / rate)) for n in range(seconds * rate)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


# --- the program's output


def summary_of_doctor(checks: list[dict]) -> dict:
    """Extracts the table's entries from `ualm doctor --json`: differences, placement of graphs, versions, and failed checks."""
    by_name = {check["name"]: check for check in checks}
    report = by_name.get("self-test", {}).get("report") or by_name.get("providers", {}).get("report") or {}

    def comparison(name: str) -> dict | None:
        compared = (by_name.get(name, {}).get("comparison") or {}).get("compared")
        return worst_of(compared) if compared else None

    return {
        "numbers": comparison("numbers"),
        "threads": comparison("threads"),
        "graphs": {graph["graph"]: graph["provider"] for graph in report.get("graphs", [])},
        "nodes_on_cpu": {graph["graph"]: graph["nodes_on_cpu"] for graph in report.get("graphs", []) if graph.get("nodes_on_cpu")},
        "providers": report.get("providers", []),
        "failed": {check["name"]: check["found"] for check in checks if not check["ok"]},
        "served": by_name.get("self-test", {}).get("ok", False),
    }


def worst_of(compared: list[dict]) -> dict:
    """Returns the comparison nearest to its bound or beyond, without codes, and all failed ones."""
    values = [one for one in compared if "codes" not in one and one["difference"] is not None]
    worst = max(values, key=lambda one: one["difference"] / one["bound"], default=None)
    codes = [one["codes"] for one in compared if one.get("codes")]
    wrong = [one for one in compared if one.get("failure") or one["difference"] is None or not one["difference"] <= one["bound"]]
    return {
        "graphs": len({graph for one in compared for graph in one["graphs"]}),
        "difference": worst and worst["difference"],
        "bound": worst and worst["bound"],
        "where": worst and f"{', '.join(worst['graphs'])}: {worst['run']}",
        "codes": [sum(code[i] for code in codes) for i in (0, 1)] if codes else None,
        "wrong": [f"{', '.join(one['graphs'])}: {one.get('failure') or one['run']}" for one in wrong],
    }


def ids_of(results: str) -> dict[str, dict]:
    """Returns the ids of each reply in a results.jsonl with frames, or its error."""
    replies = {}
    for line in results.splitlines():
        result = json.loads(line)
        if "error" in result:
            replies[result["id"]] = {"error": result["error"]["message"]}
        else:
            frames = [frame for segment in result["segments"] for frame in segment["frames"]]
            replies[result["id"]] = {"prompt": result["prompt_frames"], "frames": frames}
    return replies


def compare_ids(asked: list[str], device: dict[str, dict], cpu: dict[str, dict]) -> dict:
    """Compares the device's replies with those of the CPU."""
    equal = []
    differing = {}
    errors = {}
    for name in asked:
        ours = device.get(name, {"error": "no reply"})
        theirs = cpu.get(name, {"error": "no reply"})
        if "error" in ours or "error" in theirs:
            errors[name] = f"device: {ours['error']}" if "error" in ours else f"CPU: {theirs['error']}"
        elif ours["prompt"] != theirs["prompt"]:
            differing[name] = "the prompts differ"
        elif ours["frames"] == theirs["frames"]:
            equal.append(name)
        else:
            pairs = zip(ours["frames"], theirs["frames"])
            shorter = min(len(ours["frames"]), len(theirs["frames"]))
            first = next((index for index, (a, b) in enumerate(pairs) if a != b), shorter)
            differing[name] = f"{first} of {len(theirs['frames'])} frames are equal before the first that differs"
    return {"equal": equal, "differing": differing, "errors": errors}


# --- running the program


@dataclasses.dataclass
class Ran:
    """The result of a command."""

    code: int | None
    out: str
    err: str
    seconds: float
    peak_mb: float | None = None
    card_mb: float | None = None

    @property
    def failure(self) -> str | None:
        if self.code is None:
            return f"stopped after {self.seconds:.0f} s, its time limit"
        if self.code == 0:
            return None
        said = [line for line in self.err.strip().splitlines() if not line.startswith("Warning: max")]
        how = f"ended by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{how}: {' / '.join(said[-3:])}"[:600]


def run(command: list[str], limit: float, environment: dict[str, str] | None = None, card: Card | None = None) -> Ran:
    """Runs a command, ends it with all its children after `limit` seconds, and measures its memory."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=not WINDOWS
            )
        except OSError as error:
            return Ran(127, "", str(error), 0.0)
        with Watch(card) as watch:
            code, peak = wait(process, begun + limit)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return Ran(code, texts[0], texts[1], time.monotonic() - begun, peak, watch.taken)


def wait(process: subprocess.Popen, deadline: float) -> tuple[int | None, float | None]:
    """Waits until `deadline`; returns the exit code, `None` if the process was ended then, and its peak memory in MB, if the system reports it."""
    if WINDOWS:
        try:
            return process.wait(max(0.0, deadline - time.monotonic())), None
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None, None
    ended = False
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() >= deadline and not ended:
                ended = True
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return None if ended else process.returncode, usage.ru_maxrss * unit / 1e6


class Card:
    """The graphics card, as reported by nvidia-smi or vulkaninfo."""

    def __init__(self) -> None:
        self.tool = shutil.which("nvidia-smi")
        self.name = self.driver = self.memory = None
        try:
            if self.tool:
                first = self.query("name,driver_version,memory.total").splitlines()[0]
                self.name, self.driver, self.memory = (field.strip() for field in first.rsplit(",", 2))
            elif shutil.which("vulkaninfo"):
                summary = subprocess.run(["vulkaninfo", "--summary"], capture_output=True, text=True, timeout=10, check=False).stdout
                self.name, self.driver = vulkan_device(summary)
        except (OSError, ValueError, IndexError, subprocess.SubprocessError):
            self.tool = None

    def query(self, fields: str) -> str:
        command = [self.tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout

    def used(self) -> float | None:
        """Returns the MiB in use on all cards together, by all processes."""
        try:
            return sum(float(line) for line in self.query("memory.used").splitlines())
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


def vulkan_device(summary: str) -> tuple[str | None, str | None]:
    """Returns the name and the driver of the first device in `vulkaninfo --summary`."""

    def field(name: str) -> str | None:
        found = re.search(rf"^\s*{name}\s*=\s*(.+?)\s*$", summary, re.MULTILINE)
        return found and found[1]

    driver = " ".join(filter(None, (field("driverName"), field("driverInfo"))))
    return field("deviceName"), driver or None


class Watch:
    """Samples the card's memory in use several times a second, and keeps its maximum growth."""

    def __init__(self, card: Card | None) -> None:
        self.card = card if card and card.tool else None
        self.before = self.most = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def __enter__(self) -> Watch:
        if self.card:
            self.before = self.most = self.card.used()
            self.thread.start()
        return self

    def look(self) -> None:
        while not self.ended.wait(0.3):
            used = self.card.used()
            if used is not None:
                self.most = used if self.most is None else max(self.most, used)

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        if self.card:
            self.thread.join(timeout=6)

    @property
    def taken(self) -> float | None:
        return None if self.before is None else (self.most - self.before) * 1.048576


# --- the parts and their time


@dataclasses.dataclass
class Part:
    """A part of the work: one run of the program."""

    kind: str  # doctor, doctor again, doctor's words, ids, prefill, steps N, codec, clip
    provider: str  # as on the command line, or cpu
    package: Package
    weight: float = 1.0

    @property
    def key(self) -> str:
        return f"{self.provider} | {self.package.label} | {self.kind}"


def plan(providers: list[str], references: list[Package], measured: list[Package]) -> list[Part]:
    """Lists all parts, the most important first: numbers, then speed on the devices and on the CPU."""
    later = [package for package in references if is_tiny(package) and package.precision != "fp32" and package not in measured]
    first = [package for package in dict.fromkeys([*references, *measured]) if package not in later]

    def numbers(package: Package, weight: float) -> list[Part]:
        shares = {"doctor": 2 * weight, "ids": weight}
        of_devices = [Part(kind, provider, package, share) for provider in providers for kind, share in shares.items()]
        return [Part("ids", "cpu", package, weight / 2), *of_devices]

    # the given packages may be of real size
    parts = [part for package in first for part in numbers(package, 1.0 if package in references else 3.0)]
    for kind, weight in BENCH.items():
        for package in measured:
            if not fits(kind, package):
                continue
            if kind in ("codec", "clip") and not {"audio", "speech"} & set(package.modalities):
                continue
            parts += [Part(kind, provider, package, weight) for provider in (*providers, "cpu")]
    return parts + [part for package in later for part in numbers(package, 0.5)]


def fits(kind: str, package: Package) -> bool:
    """Returns whether `ualm bench` can measure steps at this context within the positions of the package."""
    return not kind.startswith("steps ") or int(kind.split()[1]) + 64 <= package.positions


def is_tiny(package: Package) -> bool:
    """Returns whether it is a package of `make fixtures`."""
    return package.folder.name in REFERENCES


def limit_of(weight: float, weights_left: float, seconds_left: float) -> float:
    """Returns the time limit of a part: a multiple of its share of the remaining time, at most all of it."""
    return min(seconds_left, max(LEAST, MOST_SHARES * weight / weights_left * seconds_left))


class Check:
    """The whole run and its results."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.folder = folder
        self.begun = time.monotonic()
        self.card = Card()
        self.libraries = {provider: library_of(provider, arguments.library) for provider in arguments.providers}
        self.libraries["cpu"] = next((library for library in self.libraries.values() if library), None)
        self.served = {}  # by provider and package: the text after --provider
        self.replies = {}  # by provider and package: ids
        self.in_words = set()  # providers whose doctor was run without --json
        self.parts = {}
        self.not_reached = [f"{name}: not there" for name in absent(arguments)]
        self.ended = False
        self.sound = folder / "sound.wav"
        write_sound(self.sound)
        (folder / "config.toml").write_text("")
        # ignore the user's settings for other uses
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("UALM_")}
        self.references, self.measured = packages(arguments)
        for package in self.measured:
            beyond = [kind for kind in BENCH if not fits(kind, package)]
            self.not_reached += [f"{package.label} | {kind}: the package has {package.positions} positions" for kind in beyond]
        self.machine = machine(arguments, self.card)

    def left(self) -> float:
        return self.arguments.seconds - RESERVE - (time.monotonic() - self.begun)

    def run(self) -> None:
        waiting = plan(self.arguments.providers, self.references, self.measured)
        while waiting:
            part = waiting.pop(0)
            if self.left() < SHORTEST:
                self.not_reached += [other.key for other in (part, *waiting)]
                break
            limit = limit_of(part.weight, part.weight + sum(other.weight for other in waiting), self.left())
            print(f"{part.key} (at most {limit:.0f} s)", file=sys.stderr, flush=True)
            try:
                result = self.one(part, limit)
            except (OSError, ValueError, KeyError, TypeError) as error:
                result = {"failure": f"its output was not understood: {type(error).__name__}: {error}"}
            if result.pop("stopped", False) and part.kind in BENCH:
                self.not_reached.append(f"{part.key}: {result.pop('failure')}")
            self.parts[part.key] = {"provider": part.provider, "package": part.package.label, "kind": part.kind, **result}
            if result.get("failure"):
                print(f"    FAILED: {result['failure']}", file=sys.stderr, flush=True)
            waiting[:0] = self.after(part, result)
            if self.cannot_serve(part, result):
                dropped = [other for other in waiting if other.provider == part.provider]
                self.not_reached.append(f"{part.provider}: {len(dropped)} more parts, because it is not ready")
                waiting = [other for other in waiting if other.provider != part.provider]
            self.write()
        self.ended = True
        self.write()

    def after(self, part: Part, result: dict) -> list[Part]:
        """Returns further parts: checks without output, and a provider that refuses a graph."""
        if part.kind == "doctor" and "summary" not in result and part.provider not in self.in_words:
            self.in_words.add(part.provider)
            return [dataclasses.replace(part, kind="doctor's words")]
        if part.kind == "doctor" and "summary" in result and not result["summary"]["served"]:
            if "ready" in [provider["state"] for provider in result["summary"]["providers"]]:
                self.served[part.provider, part.package.label] = f"{part.provider},cpu"
                return [dataclasses.replace(part, kind="doctor again")]
        return []

    def cannot_serve(self, part: Part, result: dict) -> bool:
        """Returns whether doctor reports that the provider itself is missing or does not work."""
        states = [provider["state"] for provider in (result.get("summary") or {}).get("providers", [])]
        return part.kind == "doctor" and bool(states) and "ready" not in states

    def one(self, part: Part, limit: float) -> dict:
        if part.kind == "doctor's words":
            # without --json each check is printed at once, even if a later one ends the process
            ran = self.program(part, limit, "doctor", "--model", str(part.package.folder))
            return {"words": ran.out + ran.err, **measured_by(ran)}
        if part.kind.startswith("doctor"):
            return self.doctor(part, limit)
        return self.ids(part, limit) if part.kind == "ids" else self.bench(part, limit)

    def program(self, part: Part, limit: float, *arguments: str) -> Ran:
        provider = self.served.get((part.provider, part.package.label), part.provider)
        library = self.libraries[part.provider]
        command = [str(self.arguments.program), *arguments, "--provider", provider, "--config", str(self.folder / "config.toml")]
        command += ["--library", str(library)] if library else []
        return run(command, limit, self.environment, None if part.provider == "cpu" else self.card)

    def doctor(self, part: Part, limit: float) -> dict:
        ran = self.program(part, limit, "doctor", "--json", "--model", str(part.package.folder))
        result = measured_by(ran)
        if ran.out.strip():
            checks = json.loads(ran.out)
            summary = summary_of_doctor(checks)
            result |= {"summary": summary, "checks": checks}
            if summary["failed"]:
                failed = "; ".join(f"{name}: {found}" for name, found in summary["failed"].items())
                result["failure"] = failed.replace("\n", " / ")[:1500]
            for provider in summary["providers"]:
                known = self.machine["providers"].setdefault(part.provider, {})
                devices = [f"{device['hardware']} ({device['vendor']})" for device in provider.get("devices", [])]
                known |= {"plugin_version": provider.get("version"), "message": provider.get("message"), "device": ", ".join(devices)}
            for check in checks:
                if check["name"] == "library" and check["ok"]:
                    self.machine["providers"].setdefault(part.provider, {})["onnxruntime"] = version_in(check["found"])
        return result

    def ids(self, part: Part, limit: float) -> dict:
        asked = requests_for(part.package, self.sound)
        requests = self.folder / "requests.jsonl"
        out = Path(tempfile.mkdtemp(dir=self.folder))
        requests.write_text("".join(json.dumps(request) + "\n" for request in asked), encoding="utf-8")
        folder = ("--model", str(part.package.folder), "--out", str(out))
        ran = self.program(part, limit, "batch", "--frames", "--quiet", *folder, str(requests))
        results = out / "results.jsonl"
        replies = ids_of(results.read_text(encoding="utf-8")) if results.exists() else {}
        shutil.rmtree(out)
        self.replies[part.provider, part.package.label] = replies
        result = measured_by(ran)
        names = [request["id"] for request in asked]
        if part.provider == "cpu":
            return result
        compared = compare_ids(names, replies, self.replies.get(("cpu", part.package.label), {}))
        exact = part.package.is_exact_on(name_of(part.provider))
        result |= {"ids": compared, "asked": names, "exact": exact}
        if not result.get("failure"):
            wrong = compared["errors"] | (compared["differing"] if exact else {})
            failed = "; ".join(f"{name}: {what}" for name, what in wrong.items())
            result |= {"failure": failed} if failed else {}
        return result

    def bench(self, part: Part, limit: float) -> dict:
        kind, *context = part.kind.split()
        options = ["--context", *context] if context else []
        if kind == "prefill":
            options = [option for prompt in PROMPTS for option in ("--prompt", str(prompt))]
        elif kind == "clip":
            options = ["--seconds", "2"]
        options += ["--only", kind, "--runs", str(RUNS), "--model", str(part.package.folder)]
        ran = self.program(part, limit, "bench", "--json", *options)
        result = measured_by(ran)
        if ran.code == 0:
            report = json.loads(ran.out)
            result |= {"figures": report["figures"], "threads": report["threads"], "megabytes": report["megabytes"]}
        return result

    def failures(self) -> dict[str, str]:
        """Returns the failures by part; a provider without any compared number is a failure, too."""
        failed = {key: part["failure"] for key, part in self.parts.items() if part.get("failure")}
        compared = {part["provider"] for part in self.parts.values() if (part.get("summary") or {}).get("numbers")}
        if self.ended:
            failed |= {provider: "no number was compared" for provider in self.arguments.providers if provider not in compared}
        return failed

    def write(self) -> None:
        report = {
            "machine": self.machine,
            "seconds": round(time.monotonic() - self.begun, 1),
            "parts": list(self.parts.values()),
            "failures": self.failures(),
            "not_reached": self.not_reached,
        }
        replace(self.arguments.out.with_suffix(".json"), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        replace(self.arguments.out.with_suffix(".md"), table(report))


def measured_by(ran: Ran) -> dict:
    result = {"seconds": round(ran.seconds, 2), "failure": ran.failure, "peak_mb": ran.peak_mb, "card_mb": ran.card_mb}
    result = {name: value for name, value in result.items() if value is not None}
    return result | ({"stopped": True} if ran.code is None else {})


def replace(path: Path, text: str) -> None:
    """Writes a file atomically."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def name_of(provider: str) -> str:
    """Returns the first provider in a value of --provider, such as cuda in codec=cuda:use_tf32=0."""
    first = re.split("[:,]", provider)[0]
    return first.rpartition("=")[2]


def library_of(provider: str, named: list[str]) -> Path | None:
    """Returns ONNX Runtime's library for a provider: the given one, or its flavour in the cache, or that of ORT_DYLIB_PATH."""
    name = name_of(provider)
    divided = [(found[1], found[2]) if (found := re.fullmatch(r"(\w+)=(.+)", text)) else ("", text) for text in named]
    for whose in (name, ""):
        for of, path in divided:
            if of == whose:
                return Path(path)
    if name in fetch_onnxruntime.FLAVOURS:
        library = fetch_onnxruntime.cached(name)
        if library:
            return library
    return Path(os.environ["ORT_DYLIB_PATH"]) if os.environ.get("ORT_DYLIB_PATH") else None


def version_in(found: str) -> str | None:
    """Returns ONNX Runtime's version in the first part of doctor's text about the library: its path."""
    match = re.search(r"onnxruntime(?:\.so|\.dylib|)[./\\-]*([0-9]+\.[0-9]+\.[0-9]+)", found.split(",")[0])
    return match and match[1]


def packages(arguments: argparse.Namespace) -> tuple[list[Package], list[Package]]:
    """Returns the packages whose replies are compared, and those that are measured."""
    default = (ROOT / "onnx" / "default").resolve()
    folders = [arguments.fixtures.resolve() / name for name in REFERENCES] + [default]
    references = {folder: Package.read(folder) for folder in folders if (folder / "manifest.json").is_file()}
    named = {folder.resolve(): folder for folder in arguments.package}
    measured = [references.get(resolved) or Package.read(folder) for resolved, folder in named.items()]
    taken = {package.label for package in references.values()}
    for index, package in enumerate(measured):
        if package not in references.values():
            label = package.label if package.label not in taken else f"{package.label} {package.folder}"
            measured[index] = dataclasses.replace(package, label=label)
            taken.add(label)
    if not measured and default in references:
        measured = [references[default]]
    return list(references.values()), measured


def absent(arguments: argparse.Namespace) -> list[str]:
    """Lists the missing exact references, which `make fixtures` makes."""
    names = [name for name in REFERENCES if name.endswith("-fp32")]
    return [name for name in names if not (arguments.fixtures / name / "manifest.json").is_file()]


def machine(arguments: argparse.Namespace, card: Card) -> dict:
    """Describes the machine for the table."""
    version = run([str(arguments.program), "--version"], 20)
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], 10)
    return {
        "date": datetime.date.today().isoformat(),
        "card": card.name,
        "driver": card.driver,
        "card_memory_mib": card.memory,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "program": version.out.strip() or version.failure,
        "commit": commit.out.strip() or None,
        "providers": {},
    }


def processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


# --- the table


def table(report: dict) -> str:
    """Returns the Markdown table of a report."""
    machine = report["machine"]
    parts = report["parts"]
    providers = list(dict.fromkeys(part["provider"] for part in parts if part["provider"] != "cpu"))
    card = machine["card"] or "no graphics card that nvidia-smi or vulkaninfo reports"
    driver = f", driver {machine['driver']}" if machine["driver"] else ""
    program = machine["program"] + (f", commit {machine['commit']}" if machine["commit"] else "")
    lines = [f"### {machine['card'] or ', '.join(providers) or 'no provider'}, {machine['date']}", ""]
    lines += [f"{card}{driver}; {machine['cores']} cores of {machine['processor']}, {machine['system']}; {program}."]
    for provider in providers:
        known = machine["providers"].get(provider, {})
        plugin = f", plugin {known['plugin_version']}" if known.get("plugin_version") else ""
        device = f", on {known['device']}" if known.get("device") else ""
        lines.append(f"`{provider}`: ONNX Runtime {known.get('onnxruntime') or '(unknown)'}{plugin}{device}.")
    lines += [f"Made by `scripts/device_check.py` in {report['seconds']:.0f} s.", ""]
    lines += numbers_table(parts) + times_table(parts, providers) + memory_table(parts, providers)
    failed = [f"{key}: {what[:LONGEST]}{'…' if len(what) > LONGEST else ''}" for key, what in report["failures"].items()]
    for title, entries in (("Failed", failed), ("Not reached", report["not_reached"])):
        if entries:
            lines += [f"{title}:", "", *(f"- {line}" for line in entries), ""]
    return "\n".join(lines)


def cells(*values: object) -> str:
    return "| " + " | ".join(str(value).replace("|", "\\|").replace("\n", " ") for value in values) + " |"


def numbers_table(parts: list[dict]) -> list[str]:
    rows = []
    for package, provider in dict.fromkeys((part["package"], part["provider"]) for part in parts if part["provider"] != "cpu"):
        own = {part["kind"]: part for part in parts if (part["package"], part["provider"]) == (package, provider)}
        doctor = own.get("doctor again") or own.get("doctor") or {}
        summary = doctor.get("summary") or {}
        on_cpu = sorted(graph for graph, where in summary.get("graphs", {}).items() if where == "cpu")
        label = f"{provider}, but {', '.join(on_cpu)}" + " on the CPU" if on_cpu else provider
        rows.append(cells(package, label, difference(doctor, "numbers"), difference(doctor, "threads"), ids_cell(own.get("ids"))))
    if not rows:
        return []
    head = cells("package", "provider", "largest difference of a graph (bound)", "on two threads", "greedy replies with the CPU's ids")
    return [head, "|---|---|---|---|---|", *rows, ""]


def difference(doctor: dict, name: str) -> str:
    found = (doctor.get("summary") or {}).get(name)
    if not found:
        return "failed" if doctor.get("failure") else "–"
    shown = "–" if found["difference"] is None else f"{found['difference']:.1e} ({found['bound']:g})"
    if found["codes"] and found["codes"][0]:
        shown += f", {found['codes'][0]} of {found['codes'][1]} codes"
    return f"**wrong**: {shown}" if found["wrong"] else shown


def ids_cell(part: dict | None) -> str:
    if not part or "ids" not in part:
        return "failed" if part and part.get("failure") else "–"
    found = part["ids"]
    shown = f"{len(found['equal'])} of {len(part['asked'])}"
    if found["errors"]:
        return f"**failed**: {shown}"
    if found["differing"]:
        return f"**wrong**: {shown}" if part["exact"] else f"{shown} (not float32)"
    return shown


def figures_of(parts: list[dict]) -> dict[tuple[str, str], dict[str, dict]]:
    """Returns the figures by provider, keyed by package and name of the figure. Loading is part of every run and is taken once."""
    figures = {}
    for part in parts:
        for figure in part.get("figures", []):
            if figure["name"] != "peak memory":
                figures.setdefault((part["package"], figure["name"]), {}).setdefault(part["provider"], figure)
    return figures


def times_table(parts: list[dict], providers: list[str]) -> list[str]:
    figures = figures_of(parts)
    if not figures:
        return []
    columns = [*providers, "cpu"]
    head = cells("package", f"median of {RUNS} runs", *map(heading, columns), "CPU / device")
    rows = []
    for (package, name), by_provider in figures.items():
        unit = next(iter(by_provider.values()))["unit"]
        values = [number(by_provider[provider]["median"]) if provider in by_provider else "–" for provider in columns]
        cpu = by_provider.get("cpu")
        medians = [by_provider[provider]["median"] for provider in providers if cpu and provider in by_provider]
        ratios = [f"{number(cpu['median'] / median)} ×" for median in medians if median]
        rows.append(cells(package, name + (f", {unit}" if unit else ""), *values, ", ".join(ratios) or "–"))
    return [head, "|" + "---|" * (len(columns) + 3), *rows, ""]


def heading(provider: str) -> str:
    return "CPU" if provider == "cpu" else f"`{provider}`"


def memory_table(parts: list[dict], providers: list[str]) -> list[str]:
    columns = [*providers, "cpu"]
    rows = []
    measured = dict.fromkeys((part["package"], part["kind"]) for part in parts if "figures" in part)
    for package, kind in measured:
        own = {part["provider"]: part for part in parts if (part["package"], part["kind"]) == (package, kind)}
        values = [memory(own.get(provider, {})) for provider in columns]
        rows.append(cells(package, kind, *values))
    if not rows:
        return []
    head = cells("package", "peak of the process + of the card, MB", *map(heading, columns))
    return [head, "|" + "---|" * (len(columns) + 2), *rows, ""]


def memory(part: dict) -> str:
    if "figures" not in part or part.get("peak_mb") is None and part.get("card_mb") is None:
        return "–"
    shown = "–" if part.get("peak_mb") is None else f"{part['peak_mb']:.0f}"
    return shown + (f" + {part['card_mb']:.0f}" if part.get("card_mb") is not None else "")


def number(value: float) -> str:
    """Formats a number with about three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# --- the command line


def parser() -> argparse.ArgumentParser:
    name = "ualm.exe" if WINDOWS else "ualm"
    parsed = argparse.ArgumentParser(description="Check and measure execution providers on this machine's devices.")
    add = parsed.add_argument
    add("providers", nargs="+", metavar="PROVIDER", help="cuda, webgpu, or another value of ualm's --provider")
    add(
        "--package", action="append", type=Path, default=[], metavar="FOLDER",
        help="a package to check and to measure (repeatable)",
    )
    add(
        "--fixtures", type=Path, default=ROOT / "target/fixtures/packages", metavar="FOLDER",
        help="the small packages of `make fixtures`",
    )
    add(
        "--library", action="append", default=[], metavar="[PROVIDER=]FILE",
        help="ONNX Runtime's library (repeatable); by default that of fetch_onnxruntime.py --flavour PROVIDER, then ORT_DYLIB_PATH",
    )
    add(
        "--program", type=Path, default=ROOT / "target/release" / name, metavar="FILE",
        help="the program (default: target/release/ualm)",
    )
    add("--seconds", type=float, default=480, metavar="N", help="time limit for the whole check, in seconds (default: 480)")
    add(
        "--out", type=Path, default=ROOT / "target/device-check", metavar="NAME",
        help="path of the results, NAME.json and NAME.md (default: target/device-check)",
    )
    return parsed


def main() -> int:
    arguments = parser().parse_args()
    if "cpu" in arguments.providers or len(set(arguments.providers)) < len(arguments.providers):
        parser().error("name every provider once, and not the CPU: it is what the others are compared with")
    if not arguments.program.is_file():
        parser().error(f"there is no program at {arguments.program}: `make build` builds it")
    missing = [str(folder) for folder in arguments.package if not (folder / "manifest.json").is_file()]
    if missing:
        parser().error(f"not a package, without manifest.json: {', '.join(missing)}; export/random_package.py makes one of real size")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        check = Check(arguments, Path(folder))
        check.run()
    print(arguments.out.with_suffix(".md").read_text(encoding="utf-8"))
    print(f"written to {arguments.out.with_suffix('.json')} and {arguments.out.with_suffix('.md')}", file=sys.stderr)
    return 1 if check.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
