"""Recovers the weights of a package made by this recipe, so that training can start from them.

    python=$(make --silent train-python)
    PYTHONPATH=export "$python" -m train.recover PACKAGE WORK

Writes WORK/codec.pt (or WORK/joint-codec.pt) and WORK/tokenizer.json, which replace the results of their stages, and
WORK/start/encoder.pt and WORK/start/llm.pt, from which those stages start. Stage `decoder` continues from codec.pt. 8-bit
weights are dequantized. Heads that only training needs are in no package; they start from random weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from .codec import train_jointly
from .codec.spectral_codec import SpectralCodec, SpectralCodecConfig
from .encoder.audio_tower import AudioTower, AudioTowerConfig
from .errors import TrainingError
from .files import write_atomically
from .language_model.model import LanguageModel, LanguageModelConfig
from .language_model.vocabulary import Vocabulary

START = "start"  # folder of the initial weights of the stages
LINEAR_SPREAD = 1 / np.sqrt(3)  # of PyTorch's initial weights, times the square root of the number of inputs
MOST_BIAS_ERROR = 0.05  # of a stream's bias, after the best embedding is subtracted


class Initializers:
    """Reads the weights of a graph in the order in which the exporter wrote them. Anything unexpected raises `TrainingError`."""

    def __init__(self, path: Path):
        import onnx
        from onnx import numpy_helper

        try:
            graph = onnx.load(path).graph
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise TrainingError(f"{path}: not a readable graph: {error}") from error
        arrays = [(t.name.rpartition("_")[0], numpy_helper.to_array(t)) for t in graph.initializer]
        self._path = path
        self._left = [(name, array) for name, array in arrays if array.dtype != np.int64 and array.ndim]

    def vector(self, size: int) -> np.ndarray:
        return self._take("constant", (size,))

    def array(self, kind: str, *shape: int) -> np.ndarray:
        return self._take(kind, shape)

    def linear(self, outputs: int, inputs: int) -> np.ndarray:
        """Reads a matrix [outputs, inputs], of any precision."""
        name, array = self._next()
        if array.dtype == np.uint8:
            scales = self._take("scales", array.shape[:2])
            values = (array.astype(np.float32) - 128) * scales[..., None]
            array = values.reshape(len(array), -1)[:, :inputs].T
        return self._checked("weight", (inputs, outputs), name, array).T

    def holds(self, name: str) -> bool:
        return any(other == name for other, _ in self._left)

    def end(self) -> None:
        if self._left:
            raise TrainingError(
                f"{self._path}: {self._left[0][0]} and {len(self._left) - 1} more weights than this recipe expects; was the package made by another one?"
            )

    def _take(self, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        return self._checked(kind, shape, *self._next())

    def _next(self) -> tuple[str, np.ndarray]:
        if not self._left:
            raise TrainingError(f"{self._path}: fewer weights than this recipe expects; was the package made by another one?")
        return self._left.pop(0)

    def _checked(self, kind: str, shape: tuple[int, ...], name: str, array: np.ndarray) -> np.ndarray:
        if not name.endswith(kind) or array.shape != tuple(shape):
            raise TrainingError(
                f"{self._path}: expected {kind} {list(shape)}, found {name} {list(array.shape)}; was the package made by another recipe?"
            )
        return array.astype(np.float32)


def language_model(package: Path) -> LanguageModel:
    """Reads the language model and the adaptor of a package."""
    config = LanguageModelConfig()
    codec = SpectralCodecConfig()
    vocabulary = Vocabulary(config.vocab_size, codec.num_codebooks, codec.codebook_size)
    features = AudioTowerConfig().output_dim
    state: dict[str, np.ndarray] = {}
    _decoder(Initializers(package / "llm.onnx"), config, state)
    state["model.embed_tokens.weight"] = Initializers(package / "embed.onnx").array("embed_tokens", vocabulary.size, config.hidden_size)
    _heads(package, config, vocabulary, state)
    _, adaptor = _tower(package)
    state |= {f"adaptor.continuous_audio.{name}": array for name, array in adaptor.items()}
    return _filled(LanguageModel(config, vocabulary, features), state)


def _decoder(graph: Initializers, config: LanguageModelConfig, state: dict[str, np.ndarray]) -> None:
    size = config.hidden_size
    inner = config.intermediate_size
    head = config.head_dim
    parts = {"q_proj": config.num_attention_heads * head} | dict.fromkeys(("k_proj", "v_proj"), config.num_key_value_heads * head)
    cuts = np.cumsum(list(parts.values()))[:-1]
    for _ in range(2):  # cosines and sines of the positions
        graph.array("constant", config.max_position_embeddings, head // 2)
    for i in range(config.num_hidden_layers):
        prefix = f"model.layers.{i}."
        state[prefix + "input_layernorm.weight"] = graph.vector(size)
        weights = graph.linear(sum(parts.values()), size)
        biases = graph.vector(sum(parts.values()))
        for name, weight, bias in zip(parts, np.split(weights, cuts), np.split(biases, cuts)):
            state |= {f"{prefix}self_attn.{name}.weight": weight, f"{prefix}self_attn.{name}.bias": bias}
        state[prefix + "self_attn.o_proj.weight"] = graph.linear(size, parts["q_proj"])
        state[prefix + "post_attention_layernorm.weight"] = graph.vector(size)
        for name, shape in (("gate_proj", (inner, size)), ("up_proj", (inner, size)), ("down_proj", (size, inner))):
            state[f"{prefix}mlp.{name}.weight"] = graph.linear(*shape)
    state["model.norm.weight"] = graph.vector(size)
    graph.end()


def _heads(package: Path, config: LanguageModelConfig, vocabulary: Vocabulary, state: dict[str, np.ndarray]) -> None:
    """Reads the heads. The audio head ends with a second copy of eos and eot; its bias holds the embeddings of the streams."""
    size = config.hidden_size
    block = vocabulary.block_size
    text = Initializers(package / "text_head.onnx").linear(vocabulary.text_end, size)
    graph = Initializers(package / "audio_head.onnx")
    columns = vocabulary.streams * block
    audio = graph.linear(columns + 2, size)[:columns]
    bias = graph.vector(columns + 2)[:columns]
    embeddings = []
    for rows, biases in zip(audio.reshape(-1, block, size), bias.reshape(-1, block)):
        embedding = np.linalg.lstsq(rows, biases, rcond=None)[0]
        error = np.abs(rows @ embedding - biases).max(initial=0.0)
        if error > MOST_BIAS_ERROR * max(1.0, np.abs(biases).max()):
            raise TrainingError(
            f"{package / 'audio_head.onnx'}: no stream embedding explains its bias: error {error:.3f}, expected at most {MOST_BIAS_ERROR}"
        )
        embeddings.append(embedding)
    state["lm_head.weight"] = np.concatenate([text, audio])
    state["stream_emb.weight"] = np.stack(embeddings)


def tower(package: Path) -> AudioTower:
    return _tower(package)[0]


def _tower(package: Path) -> tuple[AudioTower, dict[str, np.ndarray]]:
    """Reads the audio tower, and the weight and bias of the adaptor after it."""
    config = AudioTowerConfig()
    graph = Initializers(package / "audio_encoder.onnx")
    size = config.d_model
    inner = config.encoder_ffn_dim
    state = {}
    for name, inputs in (("conv1", config.num_mel_bins), ("conv2", size)):
        state |= {f"{name}.weight": graph.array("weight", size, inputs, 3), f"{name}.bias": graph.vector(size)}
    graph.array("constant", config.n_window, size)  # positions
    for i in range(config.encoder_layers):
        prefix = f"layers.{i}."
        state |= _norm(graph, prefix + "self_attn_layer_norm", size)
        for name in ("q_proj", "k_proj", "v_proj"):
            state[f"{prefix}self_attn.{name}.weight"] = graph.linear(size, size)
        for name, bias in zip(("q_proj", "k_proj", "v_proj"), np.split(graph.vector(3 * size), 3)):
            state[f"{prefix}self_attn.{name}.bias"] = bias
        if np.abs(state.pop(f"{prefix}self_attn.k_proj.bias")).max() > 0:
            raise TrainingError(f"{package / 'audio_encoder.onnx'}: found keys with a bias; the tower of this recipe has none")
        state |= {f"{prefix}self_attn.out_proj.weight": graph.linear(size, size), f"{prefix}self_attn.out_proj.bias": graph.vector(size)}
        state |= _norm(graph, prefix + "final_layer_norm", size)
        for name, shape in (("fc1", (inner, size)), ("fc2", (size, inner))):
            state |= {f"{prefix}{name}.weight": graph.linear(*shape), f"{prefix}{name}.bias": graph.vector(shape[0])}
    state |= _norm(graph, "ln_post", size)
    state |= {"proj.weight": graph.linear(config.output_dim, size), "proj.bias": graph.vector(config.output_dim)}
    hidden = LanguageModelConfig().hidden_size
    adaptor = {"weight": graph.linear(hidden, config.output_dim), "bias": graph.vector(hidden)}
    return _filled(AudioTower(config), state), adaptor


def codec(package: Path) -> SpectralCodec:
    """Reads the codec, with or without a learned encoder, and undoes the exporter's folding of weights."""
    config = train_jointly.CONFIG if _has_learned_encoder(package) else SpectralCodecConfig()
    model = SpectralCodec(config)
    state = _codec_encoder(Initializers(package / "codec_encoder.onnx"), config)
    state |= _codec_decoder(Initializers(package / "codec_decoder.onnx"), config)
    state |= {f"encoder.{name}.bank": getattr(model.encoder, name).bank.numpy() for name in ("narrow", "brief")}
    return _filled(model, state)


def _has_learned_encoder(package: Path) -> bool:
    return Initializers(package / "codec_encoder.onnx").holds("enter/weight")


def _codec_encoder(graph: Initializers, c: SpectralCodecConfig) -> dict[str, np.ndarray]:
    for n_fft, bands in ((c.narrow_n_fft, c.narrow_bands), (c.brief_n_fft, c.brief_bands)):
        graph.array("constant", 2 * (n_fft // 2 + 1), 1, n_fft)
        graph.array("constant", n_fft // 2 + 1, bands)
    state = _linear(graph, "projection", c.codebook_dim, c.features)
    if c.encoder_layers:
        state |= _linear(graph, "enter", c.encoder_hidden_size, c.features)
        state |= _blocks(graph, "blocks", c.encoder_layers, c.encoder_hidden_size, c)
        state |= _linear(graph, "leave", c.codebook_dim, c.encoder_hidden_size)
    books = []
    for _ in range(c.num_codebooks):
        books.append(graph.array("codebook", c.codebook_size, c.codebook_dim))
        graph.vector(c.codebook_size)  # half of the squared norms of its entries
    graph.end()
    return {f"encoder.{name}": array for name, array in state.items()} | {"quantizer.codebooks": np.stack(books)}


def _codec_decoder(graph: Initializers, c: SpectralCodecConfig) -> dict[str, np.ndarray]:
    size = c.decoder_hidden_size
    fine = c.fine_hidden_size
    state = {}
    graph.array("codebooks", c.num_codebooks * c.codebook_size, c.codebook_dim)
    state |= {"conv_in.weight": graph.array("weight", size, c.codebook_dim, c.input_kernel_size), "conv_in.bias": graph.vector(size)}
    state |= _blocks(graph, "blocks", c.decoder_layers, size, c)
    state |= _norm(graph, "upsample_norm", size) | _linear(graph, "upsample", c.tonal_factor * fine, size)
    state |= _blocks(graph, "fine_blocks", c.fine_layers, fine, c)
    state |= _norm(graph, "norm", fine) | _linear(graph, "head", c.outputs, fine)
    state |= _linear(graph, "expansion", c.tonal_factor * c.outputs, c.codebook_dim)
    graph.array("constant", c.carrier_period, c.tonal_bins)
    graph.array("constant", 2 * c.tonal_bins, 1, c.tonal_n_fft)
    state["noise_table"] = graph.array("constant", c.noise_period * c.noise_factor, 2 * c.noise_bins)
    graph.array("constant", 2 * c.noise_bins, 1, c.noise_n_fft)
    graph.end()
    return {f"decoder.{name}": array for name, array in state.items()}


def _blocks(graph: Initializers, name: str, layers: int, size: int, c: SpectralCodecConfig) -> dict[str, np.ndarray]:
    state: dict[str, np.ndarray] = {}
    for i in range(layers):
        prefix = f"{name}.{i}."
        state |= {prefix + "depthwise.weight": graph.array("weight", size, 1, c.kernel_size), prefix + "depthwise.bias": graph.vector(size)}
        state |= _norm(graph, prefix + "norm", size) | _linear(graph, prefix + "up", c.expansion * size, size)
        folded = _linear(graph, prefix + "down", size, c.expansion * size)
        weight, bias = folded.values()
        scale = np.sqrt((weight**2).mean(1)) * np.sqrt(weight.shape[1]) / LINEAR_SPREAD + 1e-6
        state |= {prefix + "scale": scale, prefix + "down.weight": weight / scale[:, None], prefix + "down.bias": bias / scale}
    return state


def _norm(graph: Initializers, name: str, size: int) -> dict[str, np.ndarray]:
    return {f"{name}.weight": graph.vector(size), f"{name}.bias": graph.vector(size)}


def _linear(graph: Initializers, name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
    return {f"{name}.weight": graph.linear(outputs, inputs), f"{name}.bias": graph.vector(outputs)}


def _filled(model: torch.nn.Module, state: dict[str, np.ndarray]) -> torch.nn.Module:
    """Sets the module's weights from `state`, which must have all of them, in their sizes."""
    own = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)).to(own[name].dtype) for name, array in state.items()})
    return model.eval()


def recover(package: Path, work: Path) -> None:
    """Writes all parts of `package` into the folder `work`. Results that a stage stored there are not replaced."""
    if not (package / "manifest.json").exists():
        raise TrainingError(
            f"{package} is not a package: it has no manifest.json; expected the folder of a package of this recipe, such as onnx/default"
        )
    coded = train_jointly.CODEC_FILE if _has_learned_encoder(package) else "codec.pt"
    parts = {  # and the prefix of their names in the stage's trainer
        work / coded: ("", codec),
        work / START / "encoder.pt": ("tower.", tower),
        work / START / "llm.pt": ("model.", language_model),
    }
    for path, (prefix, read) in parts.items():
        if not path.exists():
            state = {"model": {prefix + name: value for name, value in read(package).state_dict().items()}}
            write_atomically(path, lambda file: torch.save(state, file))
            print(f"{path}: {sum(t.numel() for t in state['model'].values()) / 1e6:.1f} M values", flush=True)
    if not (work / "tokenizer.json").exists():
        content = (package / "tokenizer.json").read_bytes()
        write_atomically(work / "tokenizer.json", lambda file: file.write(content))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("work", type=Path, help="folder for caches, training state and the checkpoint")
    options = parser.parse_args()
    try:
        recover(options.package, options.work)
    except (TrainingError, OSError) as error:
        print(f"recover: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
