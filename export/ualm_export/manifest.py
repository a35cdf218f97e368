"""manifest.json: what the package is, and the size and checksum of its files."""

import hashlib
import json
from pathlib import Path

from . import __version__
from .config import Config
from .errors import ExportError
from .vocabulary import SPECIAL

SCHEMA = 1
FILE_NAME = "manifest.json"

_GENERATION = {
    "text": {"temperature": 0.0, "top_k": 20, "guidance": 1.0, "max_steps": 1024},
    "audio": {"temperature": 0.8, "top_k": 20, "guidance": 3.0, "max_steps": 1024},
    "speech": {"temperature": 0.8, "top_k": 20, "guidance": 3.0, "max_steps": 1024},
}
_PROMPTS = {"ask": "Describe the audio.", "transcribe": "Transcribe the speech."}
_LIMITS = {"input_seconds": 600.0}
_DETAILS = {
    "name": str, "license": str, "origin": str, "attribution": str,
    "half_trained": bool, "known_words": list, "prompts": dict, "generation": dict, "limits": dict,
    "reasoning": dict,
}  # fmt: skip
_REASONING = {"default": str, "modes": list, "prompts": dict, "listen": bool, "listen_prompt": str}
_REASONING_MODES = ("enrich", "dialogue", "reflect")


def check_details(details: Config) -> None:
    """Refuses fields of package.json that are unknown or of another type."""
    for name, value in details.values.items():
        if name not in _DETAILS:
            raise ExportError(f"{details.source}: {name} is not known; known are {', '.join(_DETAILS)}")
        if not isinstance(value, _DETAILS[name]):
            raise ExportError(f"{details.source}: {name} is {value!r}, expected {_DETAILS[name].__name__}")
    for field, known in (("prompts", _PROMPTS), ("limits", _LIMITS), ("generation", _GENERATION)):
        _check_keys(details, field, details.get(field, default={}), known)
    for modality, settings in details.get("generation", default={}).items():
        _check_keys(details, f"generation.{modality}", settings, _GENERATION[modality])
    if "reasoning" in details.values:
        _check_reasoning(details, details.get("reasoning"))


def _check_reasoning(details: Config, reasoning: dict) -> None:
    """Refuses modes that no runtime knows, and prompts without a place for the words."""
    _check_keys(details, "reasoning", reasoning, _REASONING)
    for name, value in reasoning.items():
        if not isinstance(value, _REASONING[name]):
            raise ExportError(f"{details.source}: reasoning.{name} is {value!r}, expected {_REASONING[name].__name__}")
    prompts = reasoning.get("prompts", {})
    for mode in [reasoning.get("default", "enrich"), *reasoning.get("modes", []), *prompts]:
        if mode not in _REASONING_MODES:
            raise ExportError(f"{details.source}: reasoning mode {mode!r}; known are {', '.join(_REASONING_MODES)}")
    for mode, prompt in prompts.items():
        if not isinstance(prompt, str) or "{}" not in prompt:
            raise ExportError(f"{details.source}: reasoning.prompts.{mode} is {prompt!r}, expected text with {{}} in it")


def _check_keys(details: Config, field: str, values: dict, known: dict) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ExportError(f"{details.source}: {field} has {', '.join(unknown)}; known are {', '.join(known)}")


def compose(details: Config, precision: str, parts: dict) -> dict:
    """The manifest but for its files. `parts` are the sections that the graphs' builders describe."""
    check_details(details)
    overrides = details.get("generation", default={})
    manifest = {
        "schema": SCHEMA,
        "name": details.get("name"),
        "producer": f"ualm-export {__version__}",
        "precision": precision,
        "license": details.get("license", default="not stated"),
        "origin": details.get("origin", default="not stated"),
    }
    for optional in ("attribution", "half_trained"):
        if optional in details.values:
            manifest[optional] = details.get(optional)
    manifest["vocabulary"] = parts["vocabulary"]
    manifest["modalities"] = {
        name: {"token": SPECIAL[name], "generation": defaults | overrides.get(name, {})}
        for name, defaults in _GENERATION.items()
    }
    manifest["prompts"] = _PROMPTS | details.get("prompts", default={})
    for optional in ("reasoning", "known_words"):
        if optional in details.values:
            manifest[optional] = details.get(optional)
    for section in ("language_model", "audio_encoder", "codec", "enhancer"):
        manifest[section] = parts[section]
    manifest["limits"] = _LIMITS | details.get("limits", default={})
    manifest["graphs"] = parts["graphs"]
    if parts.get("variants"):
        manifest["variants"] = parts["variants"]
    return manifest


def write(folder: Path, manifest: dict) -> None:
    """Writes manifest.json with the size and SHA-256 of every other file of `folder`."""
    files = {path.name: describe_file(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    text = json.dumps(manifest | {"files": files}, indent=2, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def describe_file(path: Path) -> dict:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}
