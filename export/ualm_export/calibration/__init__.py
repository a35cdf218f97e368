"""Calibration: statistics of the inputs of a model's linear layers, over generated texts and sounds.

    with calibrated(parts, tensors, tokenizer, frozenset({"llm"}), beside=out) as statistics:
        statistics["llm"]["layers.3/qkv_proj"].largest       # float32 [K]
        statistics["llm"]["layers.3/qkv_proj"].moments()     # float32 [K, K]

The float graphs are built in a temporary folder and run over sentences, synthesized sounds and the model's own continuations.
All seeds are fixed: the same checkpoint gives the same statistics on the same machine. Layers have their scoped names.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import ExportError
from ..graph import Storage
from ..parts import CodecGraphs, Parts
from .language_model import DrawingModel
from .log_mel import encoder_inputs
from .observed import LinearInputs, ObservedGraph
from .prompts import Prompt, PromptWriter
from .sounds import sounds

__all__ = ["LinearInputs", "Statistics", "calibrated"]

Statistics = Mapping[str, Mapping[str, LinearInputs]]
"""Statistics by the name of the graph, then of the linear layer."""

_STORAGE = Storage(half=True)
_STEPS = 48
"""Frames drawn after each prompt, if the model has enough positions."""
_SOUND_SECONDS = 4.0


@contextlib.contextmanager
def calibrated(
    parts: Parts, tensors: Mapping, tokenizer: bytes, moments: frozenset[str], beside: Path
) -> Iterator[Statistics]:
    """Yields statistics of the language model, its heads, the audio encoder and a causal decoder of speech.

    The inputs of the graphs named in `moments` are stored while the block runs, so that their moments can be computed:
    2 bytes for each feature and position, in a temporary folder beside the path `beside`. `tokenizer` is a tokenizer.json.
    """
    with tempfile.TemporaryDirectory(prefix=f".{beside.name}.calibration-", dir=beside.parent) as folder:
        yield _statistics(parts, tensors, tokenizer, moments, Path(folder))


def _statistics(parts: Parts, tensors: Mapping, tokenizer: bytes, moments: frozenset[str], folder: Path) -> Statistics:
    for name in ("audio_encoder", "embed", "llm", *parts.heads, *_causal_decoders(parts)):
        parts.graphs()[name].build(folder / f"{name}.onnx", _STORAGE, tensors)
    with tqdm(desc="calibrating", unit=" runs", disable=None, dynamic_ncols=True) as bar:
        statistics, heard = _hear(parts, folder, moments, bar.update)
        steps = min(_STEPS, parts.decoder.attention.max_positions // 4)
        prompts = _fitting(parts, PromptWriter(parts, tokenizer).prompts(heard), steps)
        found, drawn = _draw(parts, prompts, steps, folder, moments, bar.update)
        statistics |= found
        for name, graphs in _causal_decoders(parts).items():
            statistics[name] = _speak(graphs, _codes(parts, graphs, prompts, drawn), folder, moments)
    return statistics


def _hear(parts: Parts, folder: Path, moments: frozenset[str], progress: Callable) -> tuple[dict, list[np.ndarray]]:
    """Returns the statistics of the audio encoder, and the features of the sounds."""
    encoder = parts.audio_encoder
    graph = ObservedGraph(folder / "audio_encoder.onnx", folder if "audio_encoder" in moments else None)
    heard = []
    for samples in sounds(_SOUND_SECONDS):
        mel, lengths = encoder_inputs(encoder.manifest(), samples)
        outputs = graph.observe({"input_features": mel, "feature_lengths": lengths})
        counts = outputs["audio_feature_lengths"] if encoder.rows == "of_signal" else [len(outputs["audio_features"][0])] * len(mel)
        heard.append(np.concatenate([rows[:count] for rows, count in zip(outputs["audio_features"], counts)]))
        progress()
    return {"audio_encoder": graph.close()}, heard


def _fitting(parts: Parts, prompts: Iterable[Prompt], steps: int) -> list[Prompt]:
    """Returns the prompts that leave room for `steps` more frames."""
    most = parts.decoder.attention.max_positions
    found = [prompt for prompt in prompts if len(prompt.frames) + steps <= most]
    if not found:
        raise ExportError(f"no text of the calibration fits {most} positions; expected a larger --max-positions, or --no-calibration")
    return found


def _draw(
    parts: Parts, prompts: list[Prompt], steps: int, folder: Path, moments: frozenset[str], progress: Callable
) -> tuple[dict, list[np.ndarray]]:
    """Returns the statistics of the language model and of its heads, and the frames drawn after each prompt."""
    model = DrawingModel(parts, folder, folder, moments)
    drawn = model.draw(prompts, steps, progress)
    for prompt, frames in zip(prompts, drawn):
        model.observe(prompt, frames)
        progress()
    return model.close(), drawn


def _causal_decoders(parts: Parts) -> dict[str, CodecGraphs]:
    """Returns the codecs whose decoders are transformers with a cache, keyed by the decoder's graph."""
    return {graphs.decoder: graphs for graphs in parts.codecs.values() if graphs.codec.decoding["kind"] == "causal"}


def _codes(parts: Parts, graphs: CodecGraphs, prompts: list[Prompt], drawn: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the codes [frames] that were drawn for a codec of one book."""
    found = []
    for prompt, frames in zip(prompts, drawn):
        modality = parts.modalities[prompt.modality]
        if modality.codec == graphs.codec.name:
            found.append(frames[:, 0] - modality.books[0][0])
    return found


def _speak(graphs: CodecGraphs, sequences: list[np.ndarray], folder: Path, moments: frozenset[str]) -> dict[str, LinearInputs]:
    """Returns the statistics of a causal decoder over some sequences of codes."""
    graph = ObservedGraph(folder / f"{graphs.decoder}.onnx", folder if graphs.decoder in moments else None)
    decoding = graphs.codec.decoding
    state = decoding["state"]
    for codes in sequences:
        padded = np.concatenate([codes, np.full(decoding["lookahead"], -1, np.int64)])
        shape = (1, state["heads"], len(codes), state["head_size"])
        names = [f"{layer}.{part}" for layer in range(state["layers"]) for part in ("key", "value")]
        graph.observe(
            {f"past_key_values.{name}": np.zeros(shape, np.float32) for name in names}
            | {
                "audio_codes": padded[None, None],
                "seqlens_k": np.array([len(codes) - 1], np.int32),
                "total_sequence_length": np.array(len(codes), np.int32),
            }
        )
    return graph.close()
