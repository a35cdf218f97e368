"""Runs every graph of a package once in ONNX Runtime and checks it against the contract."""

from pathlib import Path

import numpy as np
import onnxruntime

from .codecs import Codec
from .enhancer import INPUT_RATE, Enhancer
from .errors import ExportError
from .language_model import Decoder
from .parts import CodecGraphs, Parts

_FRUGAL_BYTES = 2 << 30


def check_graph(path: Path, feeds: dict[str, np.ndarray], expected: dict[str, tuple[type, tuple[int, ...]]]) -> None:
    """Runs a graph; refuses unexpected inputs, outputs, types or shapes, and numbers that are not finite."""
    try:
        session = onnxruntime.InferenceSession(path, _options(path), providers=["CPUExecutionProvider"])
        _check_names(path, "inputs", {value.name for value in session.get_inputs()}, set(feeds))
        _check_names(path, "outputs", {value.name for value in session.get_outputs()}, set(expected))
        names = list(expected)
        results = dict(zip(names, session.run(names, feeds)))
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime raises many exception types of its own
        raise ExportError(f"{path.name} does not run in ONNX Runtime: {error}") from None
    for name, (dtype, shape) in expected.items():
        value = results[name]
        if value.dtype != dtype or value.shape != shape:
            raise ExportError(
                f"{path.name}: {name} came out as {value.dtype} {list(value.shape)}, "
                f"expected {np.dtype(dtype)} {list(shape)}"
            )
        if not np.isfinite(value).all():
            raise ExportError(f"{path.name}: {name} holds values that are not finite; are the weights damaged?")


def _options(path: Path) -> onnxruntime.SessionOptions:
    """Returns session options. Large graphs run unoptimized, so that the check needs no memory for a second copy.

    Processors without VNNI multiply signed bytes as unsigned ones, which is slow but does not overflow.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    data = path.with_name(path.name + ".data")
    if data.exists() and data.stat().st_size > _FRUGAL_BYTES:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def _check_names(path: Path, what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise ExportError(f"{path.name}: {what} are {', '.join(sorted(found))}; expected {', '.join(sorted(expected))}")


def check_package(folder: Path, parts: Parts) -> None:
    """Runs every graph of `folder` once."""
    hidden = parts.decoder.hidden_size
    width = parts.embedding.width
    ids = np.zeros((2, 3, width), np.int64)
    ids[:, :, 0] = parts.embedding.size - 1
    check_graph(folder / "embed.onnx", {"input_ids": ids}, {"inputs_embeds": (np.float32, (2, 3, hidden))})

    check_llm(folder / "llm.onnx", parts.decoder)

    rows = {"hidden_states": np.ones((2, hidden), np.float32)}
    for name, head in parts.heads.items():
        check_graph(folder / f"{name}.onnx", rows, {"logits": (np.float32, (2, head.columns))})

    check_audio_encoder(folder / "audio_encoder.onnx", parts)
    for codec in parts.codecs.values():
        check_codec(folder, codec)
    for name, enhancer in parts.enhancers.items():
        check_enhancer(folder / f"{name}.onnx", enhancer)


def check_llm(path: Path, decoder: Decoder) -> None:
    """Runs the language model once."""
    cache_shape = (2, decoder.attention.key_value_heads, 8, decoder.attention.cached_head_size)
    caches = [f"{i}.{kind}" for i in range(decoder.layers) for kind in ("key", "value")]
    feeds = {f"past_key_values.{name}": np.zeros(cache_shape, np.float32) for name in caches}
    feeds["inputs_embeds"] = np.ones((2, 3, decoder.hidden_size), np.float32)
    feeds["seqlens_k"] = np.full(2, 2, np.int32)
    feeds["total_sequence_length"] = np.array(3, np.int32)
    expected = {f"present.{name}": (np.float32, cache_shape) for name in caches}
    check_graph(path, feeds, expected | {"hidden_states": (np.float32, (2, 3, decoder.hidden_size))})


def check_audio_encoder(path: Path, parts: Parts) -> None:
    """Runs the audio encoder once."""
    frames = parts.audio_encoder.tower.chunk_frames
    hidden = parts.decoder.hidden_size
    mel = np.zeros((1, parts.audio_encoder.tower.mel_bins, frames), np.float32)
    check_graph(
        path,
        {"input_features": mel, "feature_lengths": np.array([frames - 3], np.int64)},
        {"audio_features": (np.float32, (1, frames // 4, hidden)), "audio_feature_lengths": (np.int64, (1,))},
    )


def check_codec(folder: Path, graphs: CodecGraphs, frames: int = 25) -> None:
    """Runs each graph of a codec once."""
    codec = graphs.codec
    samples = frames * codec.hop_length
    if graphs.encoder:
        noise = np.random.default_rng(0).normal(0.0, 0.1, (1, 1, samples)).astype(np.float32)
        path = folder / f"{graphs.encoder}.onnx"
        check_graph(path, {"input_values": noise}, {"audio_codes": (np.int64, (1, codec.books, frames))})
    path = folder / f"{graphs.decoder}.onnx"
    if codec.decoding["kind"] == "causal":
        check_causal_decoder(path, codec, frames)
        return
    feeds = {"audio_codes": np.zeros((1, codec.books, frames), np.int64)}
    if codec.decoding["indexed"]:
        feeds["first_frame"] = np.array([7], np.int64)
    check_graph(path, feeds, {"audio_values": (np.float32, (1, 1, samples))})


def check_causal_decoder(path: Path, codec: Codec, frames: int) -> None:
    """Decodes the first frames of a sound that ends with them, so that the lookahead is past the end."""
    lookahead = codec.decoding["lookahead"]
    state = codec.decoding["state"]
    codes = np.full((1, 1, frames + lookahead), -1, np.int64)
    codes[..., :frames] = codec.codebook_size - 1
    cache_shape = (1, state["heads"], frames + 3, state["head_size"])
    caches = [f"{i}.{kind}" for i in range(state["layers"]) for kind in ("key", "value")]
    feeds = {f"past_key_values.{name}": np.zeros(cache_shape, np.float32) for name in caches}
    feeds["seqlens_k"] = np.array([frames - 1], np.int32)
    feeds["total_sequence_length"] = np.array(frames, np.int32)
    expected = {f"present.{name}": (np.float32, cache_shape) for name in caches}
    expected["audio_values"] = (np.float32, (1, 1, frames * codec.hop_length))
    check_graph(path, feeds | {"audio_codes": codes}, expected)


def check_enhancer(path: Path, enhancer: Enhancer, samples: int = 3200) -> None:
    enhanced = (1, enhancer.channels, samples * enhancer.sampling_rate // INPUT_RATE)
    feeds = {"audio_values": np.zeros((1, 1, samples), np.float32)}
    check_graph(path, feeds, {"enhanced_values": (np.float32, enhanced)})
