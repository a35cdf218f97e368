"""Converts manifests of schema 1, which was for UALM alone, to schema 2."""

from collections.abc import Mapping

from ...errors import ExportError
from ...manifest import SCHEMA, attention_state
from ...manifest_form import check_manifest
from .template import FAMILY, modalities, template


def upgraded(manifest: Mapping, checksum: str) -> dict:
    """Returns `manifest` in schema 2; `checksum` is the SHA-256 of its file, with which earlier records refer to the package."""
    if manifest.get("schema") != 1:
        raise ExportError(f"the manifest's schema is {manifest.get('schema')!r}; expected 1")
    try:
        result = _upgraded(manifest, checksum)
        check_manifest(result)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"the manifest is not of schema 1: {error!r}") from None
    return result


def _upgraded(manifest: Mapping, checksum: str) -> dict:
    vocabulary = manifest["vocabulary"]
    special = vocabulary["special"]
    text = vocabulary["text"]
    audio = vocabulary["audio"]
    ends = [[special[name], special[name] + 1] for name in ("eos", "eot")]
    sections = {
        "schema": SCHEMA,
        "name": manifest["name"],
        "family": FAMILY,
        "formerly": [checksum],
        **_copied(manifest, "producer", "precision", "license", "origin", "attribution", "half_trained"),
        "tokens": {
            "size": vocabulary["size"],
            "width": vocabulary["streams"],
            "pad": special["pad"],
            "text": {"ids": text, "zero_is_pad": True},
        },
        "heads": {"text_head": [[0, text[1]]], "audio_head": [*audio, *ends]},
        "modalities": _modalities(manifest),
        "template": template(special),
        **_copied(manifest, "prompts", "reasoning", "known_words"),
        "language_model": _language_model(manifest["language_model"]),
    }
    if manifest.get("audio_encoder"):
        sections["audio_encoder"] = manifest["audio_encoder"] | {"rows": "of_signal"}
    codec = manifest.get("codec")
    enhancer = manifest.get("enhancer")
    if codec:
        sections["codecs"] = {codec["kind"]: _codec(codec, vocabulary["streams"])}
    if enhancer:
        sections["enhancers"] = {"enhancer": {"graph": "enhancer"} | enhancer}
    sections |= _copied(manifest, "limits", "graphs", "variants")
    sections["files"] = {
        name: {"size": file["size"], "sha256": file["sha256"]} for name, file in manifest["files"].items()
    }
    return sections


def _copied(manifest: Mapping, *fields: str) -> dict:
    return {field: manifest[field] for field in fields if field in manifest}


def _modalities(manifest: Mapping) -> dict:
    vocabulary = manifest["vocabulary"]
    codec = manifest["codec"]["kind"] if manifest.get("codec") else None
    enhancer = "enhancer" if manifest.get("enhancer") else None
    laid = modalities(vocabulary["special"], vocabulary["text"], vocabulary["audio"], codec, enhancer)
    return {
        name: laid[name].manifest(former.get("generation", {})) for name, former in manifest["modalities"].items()
    }


def _language_model(former: Mapping) -> dict:
    head_size = former["head_dim"]
    return {
        "hidden_size": former["hidden_size"],
        "max_positions": former["max_position_embeddings"],
        "state": [
            attention_state(
                layers=former["num_hidden_layers"],
                heads=former["num_key_value_heads"],
                head_size=head_size,
                rotary_size=former.get("rotary_dim") or head_size,
                theta=former["rope_theta"],
            )
        ],
    }


def _codec(former: Mapping, books: int) -> dict:
    decoding = {"kind": "windowed", "context_frames": former["context_frames"], "indexed": former.get("indexed", False)}
    return {
        "encoder": "codec_encoder",
        "decoder": "codec_decoder",
        "sampling_rate": former["sampling_rate"],
        "hop_length": former["hop_length"],
        "books": books,
        "codebook_size": former["codebook_size"],
        "decoding": decoding,
    }
