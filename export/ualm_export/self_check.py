"""Loads every graph of a package in ONNX Runtime and runs it once, by the contract."""

from pathlib import Path

import numpy as np
import onnxruntime

from .audio_encoder import AudioEncoder
from .codec import Codec
from .errors import ExportError
from .language_model import LanguageModel
from .vocabulary import Vocabulary

_FRUGAL_BYTES = 2 << 30


def check_graph(path: Path, feeds: dict[str, np.ndarray], expected: dict[str, tuple[type, tuple[int, ...]]]) -> None:
    """Runs a graph; refuses inputs, outputs, types or shapes other than expected, and numbers that are not finite."""
    try:
        session = onnxruntime.InferenceSession(path, _options(path), providers=["CPUExecutionProvider"])
        _check_names(path, "inputs", {value.name for value in session.get_inputs()}, set(feeds))
        _check_names(path, "outputs", {value.name for value in session.get_outputs()}, set(expected))
        names = list(expected)
        results = dict(zip(names, session.run(names, feeds)))
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime raises many kinds, all of them its own
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
    """Large graphs run as they lie on disk, so that checking one needs no memory for a second copy of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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


def check_package(
    folder: Path, model: LanguageModel, encoder: AudioEncoder, codec: Codec, vocabulary: Vocabulary, enhancer: bool
) -> None:
    """One run of every graph in `folder`."""
    hidden, streams = model.hidden_size, vocabulary.streams
    ids = np.zeros((2, 3, streams), np.int64)
    ids[:, :, 0] = vocabulary.text[0]
    check_graph(folder / "embed.onnx", {"input_ids": ids}, {"inputs_embeds": (np.float32, (2, 3, hidden))})

    for path in sorted(folder.glob("llm*.onnx")):
        check_llm(path, model)

    rows = {"hidden_states": np.ones((2, hidden), np.float32)}
    columns = sum(end - start for start, end in vocabulary.audio) + 2
    check_graph(folder / "text_head.onnx", rows, {"logits": (np.float32, (2, vocabulary.text[1]))})
    check_graph(folder / "audio_head.onnx", rows, {"logits": (np.float32, (2, columns))})

    frames = encoder.chunk_frames
    mel = np.zeros((1, encoder.num_mel_bins, frames), np.float32)
    check_graph(
        folder / "audio_encoder.onnx",
        {"input_features": mel, "feature_lengths": np.array([frames - 3], np.int64)},
        {"audio_features": (np.float32, (1, frames // 4, hidden)), "audio_feature_lengths": (np.int64, (1,))},
    )
    check_codec(folder, codec, streams)
    if enhancer:
        check_graph(
            folder / "enhancer.onnx",
            {"audio_values": np.zeros((1, 1, 3200), np.float32)},
            {"enhanced_values": (np.float32, (1, 2, 9600))},
        )


def check_llm(path: Path, model: LanguageModel) -> None:
    """One run of the language model; a variant's cache is float16."""
    cache = np.float16 if path.stem == "llm.cuda" else np.float32
    cache_shape = (2, model.num_key_value_heads, 8, model.cached_head_dim)
    caches = [f"{i}.{kind}" for i in range(model.num_hidden_layers) for kind in ("key", "value")]
    feeds = {f"past_key_values.{name}": np.zeros(cache_shape, cache) for name in caches}
    feeds["inputs_embeds"] = np.ones((2, 3, model.hidden_size), np.float32)
    feeds["seqlens_k"] = np.full(2, 2, np.int32)
    feeds["total_sequence_length"] = np.array(3, np.int32)
    expected = {f"present.{name}": (cache, cache_shape) for name in caches}
    check_graph(path, feeds, expected | {"hidden_states": (np.float32, (2, 3, model.hidden_size))})


def check_codec(folder: Path, codec: Codec, streams: int, frames: int = 25) -> None:
    """One run of the codec's two graphs."""
    samples = frames * codec.hop_length
    noise = np.random.default_rng(0).normal(0.0, 0.1, (1, 1, samples)).astype(np.float32)
    codes = np.zeros((1, streams, frames), np.int64)
    feeds = {"audio_codes": codes} | ({"first_frame": np.array([7], np.int64)} if codec.indexed else {})
    check_graph(
        folder / "codec_encoder.onnx", {"input_values": noise}, {"audio_codes": (np.int64, (1, streams, frames))}
    )
    check_graph(folder / "codec_decoder.onnx", feeds, {"audio_values": (np.float32, (1, 1, samples))})
