"""The audio encoder with its adaptor: log-mel chunks to features for the language model.

Two kinds occur, both in the manner of Whisper: two convolutions, added positions, pre-norm transformer
layers, pooling of pairs. They differ in what a chunk is and in what follows the pooling:

- `af_whisper`: a chunk is a whole 30 s window; every position attends to every other, padding included
  (as the trainer's own code does); learned positions; a last layer norm.
- `qwen2_5_omni`: a chunk is 2 × n_window mel frames; what lies past its end is masked; sinusoidal
  positions; a layer norm and a projection.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import Config
from .errors import ExportError
from .graph import CONTRIB, FLOAT, INT32, INT64, GraphBuilder, Storage
from .tensors import Prefixed

SAMPLING_RATE, N_FFT, HOP_LENGTH = 16000, 400, 160
FRAMES_PER_SECOND = SAMPLING_RATE // HOP_LENGTH
IO_PREFIX = "multimodal_io_dict.continuous_audio."
ADAPTOR_PREFIX = "adaptor.continuous_audio."
UNUSED_TENSORS = [
    r"multimodal_io_dict\.continuous_audio\..*\.audio_bos_eos_token\.weight",
    r"multimodal_io_dict\.continuous_audio\..*\.positional_embedding\.positional_embedding",
]

_AF_WHISPER_TYPES = ("qwen2_audio_encoder", "audioflamingo3_encoder", "af_whisper", "afwhisper", "whisper")
_OMNI_TYPES = ("qwen2_5_omni_audio_encoder",)


@dataclass(frozen=True)
class AudioEncoder:
    kind: str
    prefix: str
    """What the encoder's tensor names begin with."""
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_mel_bins: int
    chunk_frames: int
    output_size: int
    """Features before the adaptor."""

    @classmethod
    def from_config(cls, config: Config, tensors, choice: str = "") -> "AudioEncoder":
        """Reads either kind's config; nested under thinker_config and audio_config, or flat.

        `choice` is the trainer's word for the encoder; "AFWhisper" settles its kind, any other leaves it to
        the config.
        """
        for name in ("thinker_config", "audio_config"):
            if isinstance(config.values.get(name), dict):
                config = config.section(name)
        kind = "af_whisper" if choice == "AFWhisper" else _kind(config)
        config.require("activation_function", ["gelu"], default="gelu")
        config.require("scale_embedding", [False], default=False)
        hidden_size = config.get("d_model", "hidden_size", default=1280)
        return cls(
            kind=kind,
            prefix=_find_prefix(tensors),
            hidden_size=hidden_size,
            intermediate_size=config.get("encoder_ffn_dim", "intermediate_size", default=5120),
            num_hidden_layers=config.get("encoder_layers", "num_hidden_layers", default=32),
            num_attention_heads=config.get("encoder_attention_heads", "num_attention_heads", default=20),
            num_mel_bins=config.get("num_mel_bins", default=128),
            chunk_frames=_chunk_frames(config, kind),
            output_size=config.get("output_dim", default=3584) if kind == "qwen2_5_omni" else hidden_size,
        )

    @property
    def positions(self) -> int:
        """Positions of a chunk inside the transformer: the second convolution halves the mel frames."""
        return self.chunk_frames // 2

    def tensor_shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        """`features`: hidden size of the language model, to which the adaptor leads."""
        hidden, inner = self.hidden_size, self.intermediate_size
        layer = {
            "self_attn.q_proj.weight": (hidden, hidden),
            "self_attn.q_proj.bias": (hidden,),
            "self_attn.k_proj.weight": (hidden, hidden),
            "self_attn.v_proj.weight": (hidden, hidden),
            "self_attn.v_proj.bias": (hidden,),
            "self_attn.out_proj.weight": (hidden, hidden),
            "self_attn.out_proj.bias": (hidden,),
            "self_attn_layer_norm.weight": (hidden,),
            "self_attn_layer_norm.bias": (hidden,),
            "fc1.weight": (inner, hidden),
            "fc1.bias": (inner,),
            "fc2.weight": (hidden, inner),
            "fc2.bias": (hidden,),
            "final_layer_norm.weight": (hidden,),
            "final_layer_norm.bias": (hidden,),
        }
        shapes = {
            "conv1.weight": (hidden, self.num_mel_bins, 3),
            "conv1.bias": (hidden,),
            "conv2.weight": (hidden, hidden, 3),
            "conv2.bias": (hidden,),
        }
        for i in range(self.num_hidden_layers):
            shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
        if self.kind == "af_whisper":
            shapes |= {"embed_positions.weight": (self.positions, hidden)}
            shapes |= {"layer_norm.weight": (hidden,), "layer_norm.bias": (hidden,)}
        else:
            shapes |= {"ln_post.weight": (hidden,), "ln_post.bias": (hidden,)}
            shapes |= {"proj.weight": (self.output_size, hidden), "proj.bias": (self.output_size,)}
        shapes = {self.prefix + name: shape for name, shape in shapes.items()}
        shapes[ADAPTOR_PREFIX + "weight"] = (features, self.output_size)
        shapes[ADAPTOR_PREFIX + "bias"] = (features,)
        return shapes

    def manifest(self) -> dict:
        windowed = self.kind == "af_whisper"
        return {
            "kind": self.kind,
            "sampling_rate": SAMPLING_RATE,
            "n_fft": N_FFT,
            "hop_length": HOP_LENGTH,
            "num_mel_bins": self.num_mel_bins,
            "chunk_frames": self.chunk_frames,
            "window_seconds": self.chunk_frames // FRAMES_PER_SECOND if windowed else 30,
            "pad_to_window": windowed,
            "normalize": not windowed,
        }


def _kind(config: Config) -> str:
    model_type = config.get("model_type", default="qwen2_5_omni_audio_encoder" if "n_window" in config.values else "")
    if model_type in _AF_WHISPER_TYPES:
        return "af_whisper"
    if model_type in _OMNI_TYPES:
        return "qwen2_5_omni"
    raise ExportError(
        f"{config.source}: model_type is {model_type!r}; implemented are {', '.join(_AF_WHISPER_TYPES + _OMNI_TYPES)}"
    )


def _chunk_frames(config: Config, kind: str) -> int:
    if kind == "af_whisper":
        positions = config.get("max_source_positions", default=1500)
        if positions % 50:
            raise ExportError(f"{config.source}: max_source_positions is {positions}; expected whole seconds, 50 each")
        return 2 * positions
    n_window = config.get("n_window", default=100)
    if n_window % 2:
        raise ExportError(
            f"{config.source}: n_window is {n_window}; it must be even, or features would span two chunks"
        )
    return 2 * n_window


def check_front_end(preprocessor: Config, encoder: AudioEncoder) -> None:
    """Refuses a feature extractor other than Whisper's, the one that the runtime computes."""
    implemented = {
        "sampling_rate": SAMPLING_RATE, "n_fft": N_FFT, "hop_length": HOP_LENGTH, "feature_size": encoder.num_mel_bins,
    }  # fmt: skip
    for name, value in implemented.items():
        preprocessor.require(name, [value], default=value)


def _find_prefix(tensors) -> str:
    """What stands before the first convolution's name: the encoder may be wrapped in any number of modules."""
    found = [
        name[: -len("conv1.weight")]
        for name in tensors
        if name.startswith(IO_PREFIX) and name.endswith(".conv1.weight")
    ]
    if len(found) > 1:
        raise ExportError(f"The weights hold {len(found)} audio encoders, at {', '.join(found)}; expected one")
    return found[0] if found else IO_PREFIX + "model."


def build_audio_encoder(path: Path, storage: Storage, encoder: AudioEncoder, features: int, tensors) -> None:
    """input_features [C, mel bins, chunk frames], feature_lengths [C] → audio_features, audio_feature_lengths."""
    weights = Prefixed(tensors, encoder.prefix)
    masked = encoder.kind == "qwen2_5_omni"
    graph = GraphBuilder(path, storage)
    mel = graph.input("input_features", FLOAT, ["chunks", encoder.num_mel_bins, encoder.chunk_frames])
    lengths = graph.input("feature_lengths", INT64, ["chunks"])
    one, two = graph.constant(1), graph.constant(2)
    # (n − 1) // 2 + 1 positions hold signal; Div truncates, but n is at least one
    valid = graph.add(graph.op("Div", graph.op("Sub", lengths, one), two), one)

    x = graph.gelu(graph.conv(mel, weights["conv1.weight"], weights["conv1.bias"], padding=1))
    if masked:
        inside = graph.op("Cast", _before(graph, encoder.chunk_frames, lengths), to=FLOAT)
        x = graph.op("Mul", x, graph.op("Unsqueeze", inside, graph.constant([1])))
    x = graph.gelu(graph.conv(x, weights["conv2.weight"], weights["conv2.bias"], stride=2, padding=1))
    x = graph.transpose(x, [0, 2, 1])
    if masked:
        x = graph.add(x, graph.constant(sinusoids(encoder.positions, encoder.hidden_size)))
    else:
        x = graph.add(x, graph.weight(weights["embed_positions.weight"], "embed_positions"))
    mask = graph.op("Cast", _before(graph, encoder.positions, valid), to=INT32) if masked else ""
    for i in range(encoder.num_hidden_layers):
        with graph.scope(f"layers.{i}"):
            x = _layer(graph, encoder, x, mask, weights.within(f"layers.{i}."))

    x = graph.transpose(x, [0, 2, 1])
    x = graph.op("AveragePool", x, kernel_shape=[2], strides=[2])
    x = graph.transpose(x, [0, 2, 1])
    if masked:
        x = graph.layer_norm(x, weights["ln_post.weight"], weights["ln_post.bias"])
        x = graph.linear(x, weights["proj.weight"], weights["proj.bias"], name="proj")
    else:
        x = graph.layer_norm(x, weights["layer_norm.weight"], weights["layer_norm.bias"])
    adaptor = Prefixed(tensors, ADAPTOR_PREFIX)
    x = graph.linear(x, adaptor["weight"], adaptor["bias"], name="adaptor", quantize=False)
    graph.output("audio_features", FLOAT, ["chunks", encoder.chunk_frames // 4, features], x)
    graph.output("audio_feature_lengths", INT64, ["chunks"], graph.op("Div", valid, two))
    graph.save()


def sinusoids(positions: int, channels: int) -> np.ndarray:
    """Whisper's position embedding [positions, channels]: sines, then cosines."""
    half = channels // 2
    frequencies = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half))
    angles = np.outer(np.arange(positions), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _before(graph: GraphBuilder, size: int, lengths: str) -> str:
    """Boolean [C, size]: whether a position lies before its chunk's length."""
    positions = graph.constant(np.arange(size, dtype=np.int64)[None])
    return graph.op("Less", positions, graph.op("Unsqueeze", lengths, graph.constant([1])))


def _layer(graph: GraphBuilder, encoder: AudioEncoder, x: str, mask: str, weights: Prefixed) -> str:
    """A pre-norm transformer layer; keys are projected without a bias. mask: int32 [C, positions] or absent."""
    attention = weights.within("self_attn.")
    h = graph.layer_norm(x, weights["self_attn_layer_norm.weight"], weights["self_attn_layer_norm.bias"])
    q, k, v = (graph.linear(h, attention[f"{n}_proj.weight"], name=f"{n}_proj") for n in "qkv")
    zeros = np.zeros(encoder.hidden_size, np.float32)
    biases = np.concatenate([attention["q_proj.bias"][:], zeros, attention["v_proj.bias"][:]])
    h = graph.op(
        "MultiHeadAttention", q, k, v, graph.constant(biases), *([mask] if mask else []),
        domain=CONTRIB, num_heads=encoder.num_attention_heads,
    )  # fmt: skip
    x = graph.add(x, graph.linear(h, attention["out_proj.weight"], attention["out_proj.bias"], name="out_proj"))
    h = graph.layer_norm(x, weights["final_layer_norm.weight"], weights["final_layer_norm.bias"])
    h = graph.gelu(graph.linear(h, weights["fc1.weight"], weights["fc1.bias"], name="fc1"))
    return graph.add(x, graph.linear(h, weights["fc2.weight"], weights["fc2.bias"], name="fc2"))
