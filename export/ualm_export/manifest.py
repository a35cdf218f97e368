"""manifest.json: the description of a package, with the size and checksum of its files."""

import hashlib
import json
import os
import re
from pathlib import Path

from . import __version__
from .config import Config
from .errors import ExportError
from .manifest_form import check_manifest
from .parts import CodecGraphs, Parts

SCHEMA = 2
FILE_NAME = "manifest.json"

_LIST_OF_NUMBERS = re.compile(r"\[\n\s+-?\d+(?:,\n\s+-?\d+)*\n\s+\]")  # JSON strings contain no line breaks


def compose(details: Config, precision: str, parts: Parts, files: dict) -> dict:
    """Composes the manifest without its variants and its list of files. `files` is its section graphs."""
    overrides = details.get("generation", default={})
    manifest = {
        "schema": SCHEMA,
        "name": details.get("name"),
        "family": parts.family,
        "producer": f"ualm-export {__version__}",
        "precision": precision,
        "license": details.get("license", default="not stated"),
        "origin": details.get("origin", default="not stated"),
        **_optional(details, "attribution", "half_trained"),
        "tokens": _tokens(parts),
        "heads": {name: _intervals(head.ids) for name, head in parts.heads.items()},
        "modalities": {
            name: modality.manifest(_overridden(modality.generation, overrides.get(name, {})))
            for name, modality in parts.modalities.items()
        },
        **({"absent": parts.absent} if parts.absent else {}),
        "template": parts.template,
        "prompts": parts.prompts | details.get("prompts", default={}),
        **_settings(details, parts),
        **_reasoning(details, parts),
        **_optional(details, "known_words", "languages"),
        "language_model": _language_model(parts),
        "audio_encoder": parts.audio_encoder.manifest(),
        "codecs": {name: _codec(graphs) for name, graphs in parts.codecs.items()},
    }
    if parts.enhancers:
        manifest["enhancers"] = {
            name: {"graph": name, "sampling_rate": enhancer.sampling_rate, "channels": enhancer.channels}
            for name, enhancer in parts.enhancers.items()
        }
    manifest["limits"] = parts.limits | details.get("limits", default={})
    manifest |= files
    check_manifest(manifest)
    return manifest


def _optional(details: Config, *fields: str) -> dict:
    return {field: details.get(field) for field in fields if field in details.values}


def _overridden(defaults: dict | None, others: dict) -> dict | None:
    return defaults if defaults is None else defaults | others


def _settings(details: Config, parts: Parts) -> dict:
    overrides = details.get("settings", default={})
    settings = {name: defaults | overrides.get(name, {}) for name, defaults in parts.settings.items()}
    return {"settings": settings} if settings else {}


def _reasoning(details: Config, parts: Parts) -> dict:
    """Composes the family's reasoning, overridden by the fields of package.json; stages are overridden one by one."""
    given = details.get("reasoning", default={})
    reasoning = parts.reasoning | given
    if "stages" in parts.reasoning:
        reasoning["stages"] = parts.reasoning["stages"] | given.get("stages", {})
    return {"reasoning": reasoning} if parts.reasoning or "reasoning" in details.values else {}


def _intervals(intervals) -> list[list[int]]:
    return [list(interval) for interval in intervals]


def _tokens(parts: Parts) -> dict:
    tokens = {"size": parts.embedding.size, "width": parts.embedding.width}
    if parts.embedding.pad is not None:
        tokens["pad"] = parts.embedding.pad
    text = {"ids": list(parts.text.ids)} | ({"zero_is_pad": True} if parts.text.zero_is_pad else {})
    return tokens | {"text": text}


def _language_model(parts: Parts) -> dict:
    attention = parts.decoder.attention
    state = attention_state(
        layers=parts.decoder.layers,
        heads=attention.key_value_heads,
        head_size=attention.cached_head_size,
        rotary_size=attention.head_size,
        theta=attention.rotary_theta,
    )
    return {
        "hidden_size": parts.decoder.hidden_size,
        "max_positions": attention.max_positions,
        "state": [state],
    }


def attention_state(*, layers: int, heads: int, head_size: int, rotary_size: int, theta: float) -> dict:
    """Describes the key/value cache of `layers` layers of attention; `heads` are those of keys and values."""
    rotary = {"size": rotary_size, "theta": theta}
    return {"kind": "attention", "layers": layers, "heads": heads, "head_size": head_size, "rotary": rotary}


def _codec(graphs: CodecGraphs) -> dict:
    codec = graphs.codec
    return {
        **({"encoder": graphs.encoder} if graphs.encoder else {}),
        "decoder": graphs.decoder,
        "sampling_rate": codec.sampling_rate,
        "hop_length": codec.hop_length,
        "books": codec.books,
        "codebook_size": codec.codebook_size,
        **({"most_frames": graphs.most_frames} if graphs.most_frames else {}),
        "decoding": codec.decoding,
    }


def write(folder: Path, manifest: dict) -> None:
    """Writes manifest.json with the size and SHA-256 of every other file of `folder`."""
    files = {path.name: describe_file(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    (folder / FILE_NAME).write_text(text_of(manifest | {"files": files}), encoding="utf-8")


def text_of(manifest: dict) -> str:
    """Formats a manifest, with each list of numbers on one line."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    return _LIST_OF_NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def bytes_of(package: Path) -> bytes:
    """Returns the bytes of a package's manifest."""
    path = package / FILE_NAME
    if not path.is_file():
        raise ExportError(f"{package} is not a package: it has no {FILE_NAME}")
    return path.read_bytes()


def read(package: Path) -> tuple[dict, bytes]:
    """Reads the manifest of a package that is to be rewritten; returns it and its bytes."""
    path = package / FILE_NAME
    content = bytes_of(package)
    try:
        manifest = json.loads(content)
        schema = manifest["schema"]
        _ = manifest["graphs"]
        _ = manifest["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is not a manifest: {error!r}") from None
    if schema != SCHEMA:
        raise ExportError(f"{path}: schema is {schema!r}; expected {SCHEMA}: see export/upgrade_manifest.py")
    return manifest, content


def replace(package: Path, manifest: dict, former: bytes) -> None:
    """Replaces a package's manifest atomically. The new one names the checksum of the former, so that its records still run."""
    formerly = {"formerly": [*manifest.get("formerly", []), hashlib.sha256(former).hexdigest()]}
    first = {key: manifest[key] for key in ("schema", "name", "family") if key in manifest}
    replace_file(package / FILE_NAME, text_of(first | formerly | {**manifest, **formerly}).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file of a package atomically."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_file(path: Path, described: dict) -> None:
    """Refuses a file that is not the one that a manifest describes."""
    found = describe_file(path) if path.is_file() else "no file"
    if found != described:
        raise ExportError(
            f"{path} is not the file that the manifest describes: expected {described}, found {found}; get the package again, or export it anew"
        )


def describe_file(path: Path) -> dict:
    """Returns the size and the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}
