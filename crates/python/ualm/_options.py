"""Settings of replies, limits of a model, and options of ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int32, sizeof
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict, cast

from . import _abi, _install, _library
from ._prompt import Modality


@dataclass
class SegmentOptions:
    """Settings of the segments of one modality."""

    #: Softmax temperature; 0 always takes the most likely id.
    temperature: float
    #: Sampling from the most likely ids whose probabilities add up to top_p; 1 keeps all.
    top_p: float
    #: Scale of classifier-free guidance; 1 disables it.
    guidance: float
    #: Sampling from the top_k most likely ids of each stream; 0 keeps all.
    top_k: int
    #: Maximum steps of a segment, the closing one included.
    max_steps: int
    #: Minimum steps before the model may close a segment, or end its sound; 0 sets no minimum.
    min_steps: int


@dataclass
class Options:
    """Settings of a reply. `Model.options()` returns the model's defaults."""

    #: Settings of text segments.
    text: SegmentOptions
    #: Settings of audio segments.
    audio: SegmentOptions
    #: Settings of speech segments.
    speech: SegmentOptions
    #: Seed of every random draw, 0..2**64: it reproduces the reply on the same package, library and number of threads.
    seed: int
    #: Maximum segments of a reply.
    max_segments: int
    #: Modalities of the first segments, in order; the model chooses those of the others.
    force: Sequence[Modality] = ()
    #: Low latency: sound comes in short chunks first, at some cost in speed; else in chunks of some seconds, or at the end of its segment.
    stream_audio: bool = False
    #: Continuation with the rest of `force` when the model ends its turn early, or a segment reaches its limit.
    insist: bool = False
    #: Thinking before an answer in text, if the model was trained for it and hears no sound.
    thinking: bool = False

    def only(self, modality: Modality) -> Options:
        """Returns the same settings for a reply of one segment of `modality`."""
        self.segment(modality)
        return replace(self, force=(modality,), max_segments=1, thinking=self.thinking and modality == "text")

    def segment(self, modality: Modality) -> SegmentOptions:
        """Returns the settings of segments of `modality`."""
        settings: dict[str, SegmentOptions] = {
            "text": self.text, "thinking": self.text, "audio": self.audio, "speech": self.speech,
        }  # fmt: skip
        if modality not in settings:
            raise ValueError(f"modality is {modality!r}; expected one of {', '.join(settings)}")
        return settings[modality]


@dataclass
class Limits:
    """Resource limits, checked before any work is done (`LimitError`)."""

    #: Maximum length of a sound to listen to or to encode, in seconds; 0 takes the package's limit.
    input_seconds: float
    #: Maximum bytes of a decoded recording.
    decoded_bytes: int
    #: Maximum bytes of one conversation's key/value cache; 0 takes half of the memory available to the process.
    memory: int
    #: Maximum positions of a prompt: about one per token, 25 per second of sound.
    prompt_frames: int
    #: Maximum segments of a reply.
    segments: int
    #: Maximum steps of a segment.
    steps: int
    #: Maximum positions of a conversation; the model's own limit applies too.
    context: int


class RuntimeOptions(TypedDict, total=False):
    """Options of ONNX Runtime, which a process loads once: later calls must give the same options, or none."""

    #: ONNX Runtime's library; by default ORT_DYLIB_PATH, else that of the installed package `onnxruntime`.
    library: str | os.PathLike[str]
    #: Threads of the pool that all graphs share; 0 takes all that the process may use.
    threads: int
    #: The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu", "codec=openvino,llm=cpu" or "auto".
    provider: str
    #: Paths of plugins that offer providers.
    provider_libraries: Sequence[str | os.PathLike[str]]
    #: Maximum seconds for loading a library; 0 takes 120.
    load_timeout: int
    #: Lower memory use, above all for long recordings, at some cost in speed.
    low_memory: bool


def runtime(options: RuntimeOptions) -> _abi.RuntimeOptions:
    """Returns the C struct of `options`; its pointers are valid as long as the struct."""
    unknown = set(options) - set(RuntimeOptions.__annotations__)
    if unknown:
        known = ", ".join(RuntimeOptions.__annotations__)
        raise TypeError(f"unknown options of the runtime: {', '.join(sorted(unknown))}; expected some of {known}")
    made = _abi.RuntimeOptions()
    _library.call("runtime_options_init", byref(made), sizeof(made))
    library = options.get("library") or (None if _library.runtime_runs() else _install.onnx_runtime())
    made.library = _library.path(library, "library") if library else None
    made.threads = _library.size(options.get("threads", 0), "threads")
    made.provider = _library.text(options["provider"], "provider") if options.get("provider") else None
    if isinstance(options.get("provider_libraries"), (str, os.PathLike)):
        raise TypeError("provider_libraries is one path; expected a sequence of paths")
    plugins = [_library.path(plugin, "provider_libraries") for plugin in options.get("provider_libraries", ())]
    made.provider_libraries = (c_char_p * len(plugins))(*plugins)
    made.provider_library_count = len(plugins)
    made.load_timeout = _library.size(options.get("load_timeout", 0), "load_timeout")
    made.low_memory = int(bool(options.get("low_memory", False)))
    return made


_UNSIGNED = {"top_k", "max_steps", "min_steps"}


def _segment(options: SegmentOptions, name: str) -> _abi.SegmentOptions:
    if not isinstance(options, SegmentOptions):
        raise TypeError(f"{name} is a {type(options).__name__}; expected ualm.SegmentOptions")
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    made = _abi.SegmentOptions()
    for key, value in values.items():
        called = f"{name}.{key}"
        setattr(made, key, _library.integer(value, 32, called) if key in _UNSIGNED else _number(value, called))
    return made


def _number(value: Any, name: str) -> float:
    """Returns a number; NaN and infinity are refused by the library."""
    if not hasattr(value, "__float__"):
        raise TypeError(f"{name} is a {type(value).__name__}; expected a number")
    return float(value)


def generation(options: Options | None) -> _abi.GenerationOptions | None:
    """Returns the C struct of `options`; None, the model's defaults, for None."""
    if options is None:
        return None
    if not isinstance(options, Options):
        raise TypeError(f"options are a {type(options).__name__}; expected ualm.Options, from Model.options()")
    if isinstance(options.force, str):
        raise TypeError(f"force is {options.force!r}; expected a sequence of modalities, such as ({options.force!r},)")
    made = _abi.GenerationOptions(struct_size=sizeof(_abi.GenerationOptions))
    force = [_library.number_of(modality, _abi.MODALITIES, "force") for modality in options.force]
    made.force = (c_int32 * len(force))(*force)
    made.force_len = len(force)
    made.seed = _library.integer(options.seed, 64, "seed")
    made.max_segments = _library.size(options.max_segments, "max_segments")
    made.text, made.audio, made.speech = (
        _segment(getattr(options, name), name) for name in ("text", "audio", "speech")
    )
    made.stream_audio, made.insist, made.thinking = (
        int(bool(flag)) for flag in (options.stream_audio, options.insist, options.thinking)
    )
    return made


def options_of(made: _abi.GenerationOptions) -> Options:
    """Copies a C struct."""
    force = tuple(_library.name_of(made.force[at], _abi.MODALITIES) for at in range(made.force_len))
    return Options(
        text=_segment_of(made.text), audio=_segment_of(made.audio), speech=_segment_of(made.speech), seed=made.seed,
        max_segments=made.max_segments, force=cast("tuple[Modality, ...]", force), stream_audio=bool(made.stream_audio), insist=bool(made.insist),
        thinking=bool(made.thinking),
    )  # fmt: skip


def _segment_of(made: _abi.SegmentOptions) -> SegmentOptions:
    return SegmentOptions(**{field.name: getattr(made, field.name) for field in fields(SegmentOptions)})


def limits(options: Limits, made: _abi.Limits) -> _abi.Limits:
    """Writes `options` into a C struct."""
    for field in fields(options):
        value = getattr(options, field.name)
        name = f"limits.{field.name}"
        bits = 8 * getattr(_abi.Limits, field.name).size
        is_float = field.name == "input_seconds"
        setattr(made, field.name, _number(value, name) if is_float else _library.integer(value, bits, name))
    return made


def limits_of(made: _abi.Limits) -> Limits:
    """Copies a C struct."""
    return Limits(**{field.name: getattr(made, field.name) for field in fields(Limits)})
