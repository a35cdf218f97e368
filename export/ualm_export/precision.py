"""The precision of each graph, by its role in the package."""

from dataclasses import replace

from .graph import Storage
from .half.operators import SUMMED_EXACTLY

PRECISIONS = ("fp32", "fp16", "int8", "int4")
HALF_TARGETS = tuple(SUMMED_EXACTLY)
"""Providers that get float16 forms of the graphs; the others take those of the CPU."""
VNNI = "vnni"
"""The target that gets forms whose 8-bit products are by rows."""
TARGETS = ("cpu", VNNI, *HALF_TARGETS, "openvino")

BLOCK_SIZES = (32, 64, 128)
BLOCK_SIZE = 128
"""Features that share a scale in 4-bit weights: smaller blocks have smaller errors and slower steps."""

_FLOAT32 = Storage()
_FLOAT16 = Storage(half=True)
_INT8 = Storage(half=True, bits=8)
_INT4 = Storage(half=True, bits=4, block=BLOCK_SIZE)
BY_ROWS = Storage(half=True, bits=8, by_rows=True)
_STORAGE = {"fp32": _FLOAT32, "fp16": _FLOAT16, "int8": _INT8, "int4": _INT4}


def storage_by_role(
    precision: str,
    heads: str | None = None,
    codec_encoder: str | None = None,
    audio_encoder: str | None = None,
    speech_decoder: str | None = None,
    block_size: int = BLOCK_SIZE,
) -> dict[str, Storage]:
    """Returns the storage of each role; the other arguments override the precision of their parts.

    Four bits are for the language model's body only, and for the rarely drawn logits of a large text head: heads, audio encoder
    and speech decoder lose too much accuracy. Guidance multiplies the errors of logits, so heads of sound have no 4-bit weights.
    The embedding is looked up, not multiplied, and the codec's decoder has few linear layers: both are at least float16 (errors
    of 3e-4 and 5e-4 of the largest value). The codec's encoder stays float32 unless requested: in float16 it chooses another
    code about once in a hundred times.
    """
    plain = _FLOAT32 if precision == "fp32" else _FLOAT16
    eight = _INT8 if precision in ("int8", "int4") else plain
    text_head = replace(_INT8, shortlist=_INT4) if precision == "int4" else eight
    return {
        "embed": plain,
        "llm": replace(_INT4, block=block_size) if precision == "int4" else _STORAGE[precision],
        "head": _STORAGE.get(heads, eight),
        "text_head": _STORAGE.get(heads, text_head),
        "audio_encoder": _STORAGE.get(audio_encoder, eight),
        "codec_encoder": _STORAGE.get(codec_encoder, _FLOAT32),
        "codec_decoder": plain,
        "speech_decoder": _STORAGE.get(speech_decoder, eight),
    }


def default_targets(precision: str) -> tuple[str, ...]:
    """Returns the default targets of a package: processors with VNNI benefit from quantized weights."""
    return ("cpu", VNNI) if precision in ("int8", "int4") else ("cpu",)
