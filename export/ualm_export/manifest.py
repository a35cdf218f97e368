"""manifest.json: what the package is, and the size and checksum of its files."""

import hashlib
import json
from pathlib import Path

from . import __version__
from .config import Config
from .parts import Parts

SCHEMA = 1
FILE_NAME = "manifest.json"


def compose(details: Config, precision: str, parts: Parts, files: dict) -> dict:
    """The manifest but for its list of files. `files` are its sections graphs and variants."""
    overrides = details.get("generation", default={})
    manifest = {
        "schema": SCHEMA,
        "name": details.get("name"),
        "producer": f"ualm-export {__version__}",
        "precision": precision,
        "license": details.get("license", default="not stated"),
        "origin": details.get("origin", default="not stated"),
    }
    manifest |= _optional(details, "attribution", "half_trained")
    manifest["vocabulary"] = parts.vocabulary
    manifest["modalities"] = {
        name: {
            "token": parts.vocabulary["special"][name],
            "generation": modality.generation | overrides.get(name, {}),
        }
        for name, modality in parts.modalities.items()
    }
    manifest["prompts"] = parts.prompts | details.get("prompts", default={})
    manifest |= _optional(details, "reasoning", "known_words")
    manifest["language_model"] = _language_model(parts)
    manifest["audio_encoder"] = parts.audio_encoder.manifest()
    manifest["codec"] = _codec(parts)
    enhancers = [{"sampling_rate": e.sampling_rate, "channels": e.channels} for e in parts.enhancers.values()]
    manifest["enhancer"] = enhancers[0] if enhancers else None
    manifest["limits"] = parts.limits | details.get("limits", default={})
    return manifest | files


def _optional(details: Config, *fields: str) -> dict:
    return {field: details.get(field) for field in fields if field in details.values}


def _language_model(parts: Parts) -> dict:
    attention = parts.decoder.attention
    return {
        "hidden_size": parts.decoder.hidden_size,
        "num_hidden_layers": parts.decoder.layers,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.key_value_heads,
        "rope_theta": attention.rotary_theta,
        "max_position_embeddings": attention.max_positions,
        "head_dim": attention.cached_head_size,
        "rotary_dim": attention.head_size,
    }


def _codec(parts: Parts) -> dict:
    (codec,) = (graphs.codec for graphs in parts.codecs.values())
    sizes = {name: getattr(codec, name) for name in ("sampling_rate", "hop_length", "codebook_size")}
    decoding = {name: codec.decoding[name] for name in ("context_frames", "indexed")}
    return {"kind": codec.name} | sizes | decoding


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
