"""The audio encoder as a graph: log-mel chunks to features for the language model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .blocks.activation import ACTIVATIONS
from .blocks.norm import rms_norm
from .blocks.shapes import Shapes, linear_shapes, within
from .blocks.whisper_tower import WhisperTower
from .config import Config
from .graph import FLOAT, INT64, GraphBuilder, Storage
from .names import Names
from .tensors import Prefixed

SAMPLING_RATE = 16000
N_FFT = 400
HOP_LENGTH = 160
FRAMES_PER_SECOND = SAMPLING_RATE // HOP_LENGTH


class Projector(Protocol):
    """Projects the tower's features to the language model's embeddings."""

    output_size: int

    def tensor_shapes(self) -> Shapes:
        """Names and shapes of the tensors in the checkpoint."""

    def apply(self, graph: GraphBuilder, x: str, tensors) -> str:
        """x [C, rows, features of the tower] → [C, rows, output size]."""


@dataclass(frozen=True)
class LinearProjector:
    name: str
    """Name of the layer in the checkpoint."""
    input_size: int
    output_size: int

    def tensor_shapes(self) -> Shapes:
        return linear_shapes(self.name, self.output_size, self.input_size)

    def apply(self, graph: GraphBuilder, x: str, tensors) -> str:
        weight = tensors[f"{self.name}.weight"]
        bias = tensors[f"{self.name}.bias"]
        return graph.linear(x, weight, bias, name="adaptor", quantize=False)


@dataclass(frozen=True)
class MlpProjector:
    """An RMS norm and two layers with an activation between them, all without biases."""

    prefix: str
    """Prefix of the names norm, fc1 and fc2 in the checkpoint."""
    input_size: int
    inner_size: int
    output_size: int
    activation: str
    """One of `ACTIVATIONS`."""
    epsilon: float

    def tensor_shapes(self) -> Shapes:
        shapes = {"norm.weight": (self.input_size,)}
        shapes |= linear_shapes("fc1", self.inner_size, self.input_size, bias=False)
        return within(self.prefix, shapes | linear_shapes("fc2", self.output_size, self.inner_size, bias=False))

    def apply(self, graph: GraphBuilder, x: str, tensors) -> str:
        weights = Prefixed(tensors, self.prefix)
        x = rms_norm(graph, x, weights["norm.weight"], self.epsilon)
        x = graph.linear(x, weights["fc1.weight"], name="projector.fc1", quantize=False)
        x = ACTIVATIONS[self.activation](graph, x)
        return graph.linear(x, weights["fc2.weight"], name="projector.fc2", quantize=False)


@dataclass(frozen=True)
class AudioEncoder:
    kind: str
    """Name in the manifest."""
    tower: WhisperTower
    names: Names
    """Names of the tower's tensors."""
    projector: Projector
    window_seconds: int
    pad_to_window: bool
    normalize: bool
    rows: str = "of_signal"
    """The used rows of a window: "of_signal", or all of "whole_windows"."""
    limit_peak: bool = False
    """True: samples are divided by their peak if it is above one."""

    def tensor_shapes(self) -> Shapes:
        return self.names.shapes(self.tower.shapes()) | self.projector.tensor_shapes()

    def manifest(self) -> dict:
        return {
            "kind": self.kind,
            "sampling_rate": SAMPLING_RATE,
            "n_fft": N_FFT,
            "hop_length": HOP_LENGTH,
            "num_mel_bins": self.tower.mel_bins,
            "chunk_frames": self.tower.chunk_frames,
            "window_seconds": self.window_seconds,
            "pad_to_window": self.pad_to_window,
            "normalize": self.normalize,
            "rows": self.rows,
            **({"limit_peak": True} if self.limit_peak else {}),
        }

    def build(self, path: Path, storage: Storage, tensors) -> None:
        """input_features [C, mel bins, chunk frames], feature_lengths [C] → audio_features, audio_feature_lengths."""
        graph = GraphBuilder(path, storage)
        mel = graph.input("input_features", FLOAT, ["chunks", self.tower.mel_bins, self.tower.chunk_frames])
        lengths = graph.input("feature_lengths", INT64, ["chunks"])
        one = graph.constant(1)
        two = graph.constant(2)
        # (n − 1) // 2 + 1 positions hold signal; Div truncates, but n is at least one
        valid = graph.add(graph.op("Div", graph.op("Sub", lengths, one), two), one)
        x = self.tower.apply(graph, mel, lengths, valid, self.names.roles(tensors))
        x = self.projector.apply(graph, x, tensors)
        graph.output("audio_features", FLOAT, ["chunks", self.tower.chunk_frames // 4, self.projector.output_size], x)
        graph.output("audio_feature_lengths", INT64, ["chunks"], graph.op("Div", valid, two))
        graph.save()


def check_front_end(preprocessor: Config, encoder: AudioEncoder) -> None:
    """Refuses a feature extractor other than Whisper's, the one that the runtime computes."""
    implemented = {
        "sampling_rate": SAMPLING_RATE, "n_fft": N_FFT, "hop_length": HOP_LENGTH, "feature_size": encoder.tower.mel_bins,
    }  # fmt: skip
    for name, value in implemented.items():
        preprocessor.require(name, [value], default=value)
