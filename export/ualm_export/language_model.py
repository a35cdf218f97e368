"""The decoder (a Qwen2 body), its embedding and its two heads as graphs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import Config
from .errors import ExportError
from .graph import CONTRIB, FLOAT, INT32, INT64, GraphBuilder, Storage
from .tensors import Prefixed, Rows
from .vocabulary import SPECIAL, Vocabulary

UNUSED_TENSORS = [r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"]


@dataclass(frozen=True)
class LanguageModel:
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    max_position_embeddings: int
    tie_word_embeddings: bool

    @classmethod
    def from_config(cls, config: Config, tensors, max_positions: int | None = None) -> "LanguageModel":
        """Reads a Qwen2 config as transformers 4 or 5 writes it; `max_positions` caps the context.

        A head of its own among the tensors is used whatever the config says of tied embeddings: a state
        dict holds it in either case.
        """
        config.require("model_type", ["qwen2"])
        config.require("hidden_act", ["silu"], default="silu")
        config.require("use_sliding_window", [False], default=False)
        if "sliding_attention" in config.get("layer_types", default=[]):
            raise ExportError(f"{config.source}: layer_types names sliding_attention; implemented is full_attention")
        hidden_size, heads = config.get("hidden_size"), config.get("num_attention_heads")
        positions = config.get("max_position_embeddings")
        head_dim = config.get("head_dim", default=hidden_size // heads)
        if head_dim % 2:
            raise ExportError(f"{config.source}: heads of size {head_dim}; rotary positions need an even size")
        return cls(
            hidden_size=hidden_size,
            intermediate_size=config.get("intermediate_size"),
            num_hidden_layers=config.get("num_hidden_layers"),
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads", default=heads),
            head_dim=head_dim,
            rms_norm_eps=config.get("rms_norm_eps"),
            rope_theta=_rope_theta(config),
            max_position_embeddings=min(positions, max_positions or positions),
            tie_word_embeddings=config.get("tie_word_embeddings", default=False) and "lm_head.weight" not in tensors,
        )

    def tensor_shapes(self, vocabulary: Vocabulary) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        layer = {
            "input_layernorm.weight": (hidden,),
            "self_attn.q_proj.weight": (queries, hidden),
            "self_attn.q_proj.bias": (queries,),
            "self_attn.k_proj.weight": (keys, hidden),
            "self_attn.k_proj.bias": (keys,),
            "self_attn.v_proj.weight": (keys, hidden),
            "self_attn.v_proj.bias": (keys,),
            "self_attn.o_proj.weight": (hidden, queries),
            "post_attention_layernorm.weight": (hidden,),
            "mlp.gate_proj.weight": (inner, hidden),
            "mlp.up_proj.weight": (inner, hidden),
            "mlp.down_proj.weight": (hidden, inner),
        }
        shapes = {"model.embed_tokens.weight": (vocabulary.size, hidden)}
        for i in range(self.num_hidden_layers):
            shapes |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
        shapes |= {"model.norm.weight": (hidden,), "stream_emb.weight": (vocabulary.streams, hidden)}
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (vocabulary.size, hidden)
        return shapes

    @property
    def cached_head_dim(self) -> int:
        """Size of a head in the graph and its cache: ONNX Runtime's attention rotates multiples of 16."""
        return -(-self.head_dim // 16) * 16

    def head_name(self) -> str:
        return "model.embed_tokens.weight" if self.tie_word_embeddings else "lm_head.weight"

    def manifest(self) -> dict:
        names = (
            "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "rope_theta", "max_position_embeddings",
        )  # fmt: skip
        sizes = {name: getattr(self, name) for name in names}
        return sizes | {"head_dim": self.cached_head_dim, "rotary_dim": self.head_dim}


def _rope_theta(config: Config) -> float:
    """The rotary base: `rope_theta` (transformers 4) or `rope_parameters` (transformers 5)."""
    parameters = config.get("rope_parameters", default={})
    scaling = config.get("rope_scaling", default={})
    for name, value in (("rope_parameters", parameters), ("rope_scaling", scaling)):
        kind = value.get("rope_type", value.get("type", "default"))
        if kind != "default":
            raise ExportError(f"{config.source}: {name} asks for rotary scaling {kind!r}; implemented is 'default'")
        if value.get("partial_rotary_factor", 1) != 1:
            raise ExportError(f"{config.source}: {name} rotates a part of each head; implemented are whole heads")
    theta = parameters.get("rope_theta", config.get("rope_theta", default=None))
    if theta is None:
        raise ExportError(f"{config.source} has neither rope_theta nor rope_parameters.rope_theta")
    return float(theta)


def build_embed(path: Path, storage: Storage, model: LanguageModel, vocabulary: Vocabulary, tensors) -> None:
    """input_ids [B, T, S] → inputs_embeds [B, T, H], summed over the streams."""
    table = tensors["model.embed_tokens.weight"]
    pad = SPECIAL["pad"]
    if np.any(table[pad : pad + 1]):
        raise ExportError(
            "model.embed_tokens.weight: row 0 (pad) is not zero; "
            "the trainer keeps it at zero and the runtime counts on it"
        )
    graph = GraphBuilder(path, storage)
    ids = graph.input("input_ids", INT64, ["batch", "frames", vocabulary.streams])
    rows = graph.embedding(ids, table, "embed_tokens")
    summed = graph.op("ReduceSum", rows, graph.constant([2]), keepdims=0)
    graph.output("inputs_embeds", FLOAT, ["batch", "frames", model.hidden_size], summed)
    graph.save()


def build_llm(path: Path, storage: Storage, model: LanguageModel, tensors) -> None:
    """The decoder layers and the final norm; see the contract for the cache, which is of the type that is computed with."""
    graph = GraphBuilder(path, storage)
    branch = graph.float_input("inputs_embeds", ["batch", "positions", model.hidden_size])
    graph.input("seqlens_k", INT32, ["batch"])
    graph.input("total_sequence_length", INT32, [])
    rotary = [graph.parameter(table) for table in rotary_tables(model)]
    residual = None
    for i in range(model.num_hidden_layers):
        with graph.scope(f"layers.{i}"):
            layer = Prefixed(tensors, f"model.layers.{i}.")
            normed, residual = _add_and_norm(graph, model, branch, residual, layer["input_layernorm.weight"])
            branch = _attention(graph, model, i, normed, layer.within("self_attn."), rotary)
            normed, residual = _add_and_norm(graph, model, branch, residual, layer["post_attention_layernorm.weight"])
            branch = _gated_mlp(graph, normed, layer.within("mlp."))
    hidden, _ = _add_and_norm(graph, model, branch, residual, tensors["model.norm.weight"], last=True)
    graph.float_output("hidden_states", ["batch", "positions", model.hidden_size], hidden)
    cache = ["batch", model.num_key_value_heads, "capacity", model.cached_head_dim]
    for i in range(model.num_hidden_layers):
        graph.output(f"present.{i}.key", graph.float_type, cache)
        graph.output(f"present.{i}.value", graph.float_type, cache)
    graph.save()


def rotary_tables(model: LanguageModel) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines [positions, cached_head_dim / 2] of the rotary angles, rounded once from float64.

    The columns beyond the head's own, which meet zeros only, do not turn.
    """
    exponents = np.arange(0, model.head_dim, 2, dtype=np.float64) / model.head_dim
    positions = np.arange(model.max_position_embeddings, dtype=np.float64)
    angles = np.outer(positions, model.rope_theta**-exponents)
    beyond = ((0, 0), (0, (model.cached_head_dim - model.head_dim) // 2))
    return np.pad(np.cos(angles), beyond, constant_values=1).astype(np.float32), np.pad(np.sin(angles), beyond).astype(np.float32)


def _add_and_norm(
    graph: GraphBuilder, model: LanguageModel, branch: str, residual: str | None, weight, last: bool = False
) -> tuple[str, str]:
    """RMS norm of branch + residual; gives the normed value and the sum (which the last norm leaves out)."""
    scale = graph.parameter(weight[:])
    epsilon = float(model.rms_norm_eps)
    if residual is None:
        normed = graph.op("SimplifiedLayerNormalization", branch, scale, axis=-1, epsilon=epsilon, stash_type=1)
        return normed, branch
    normed, total = graph.name("normed"), "" if last else graph.name("sum")
    graph.op(
        "SkipSimplifiedLayerNormalization", residual, branch, scale,
        outputs=[normed] if last else [normed, "", "", total], domain=CONTRIB, epsilon=epsilon,
    )  # fmt: skip
    return normed, total


class PaddedHeads:
    """Rows of a projection [heads × size, …] with zeros behind each half of every head, as a lazy tensor.

    The halves are what the rotary positions turn against each other, so each is padded by itself.
    """

    def __init__(self, tensor, model: LanguageModel):
        self._tensor, self._half, self._padded = tensor, model.head_dim // 2, model.cached_head_dim // 2
        self.shape = (tensor.shape[0] // self._half * self._padded, *tensor.shape[1:])

    def __getitem__(self, rows) -> np.ndarray:
        halves = self._tensor[:].reshape(-1, self._half, *self.shape[1:])
        beyond = [(0, 0), (0, self._padded - self._half)] + [(0, 0)] * (len(self.shape) - 1)
        return np.pad(halves, beyond).reshape(self.shape)[rows]


def _padded(tensor, model: LanguageModel):
    """The projection's rows as the graph has them: padded only where the head's size asks for it."""
    return tensor if model.cached_head_dim == model.head_dim else PaddedHeads(tensor, model)


def _attention(graph: GraphBuilder, model: LanguageModel, index: int, x: str, tensors: Prefixed, rotary: list[str]) -> str:
    """Grouped-query attention with packed projections; rotates, and extends the cache in place."""
    weights = Rows([_padded(tensors[f"{name}_proj.weight"], model) for name in "qkv"])
    biases = np.concatenate([_padded(tensors[f"{name}_proj.bias"], model)[:] for name in "qkv"])
    packed = graph.linear(x, weights, biases, name="qkv_proj")
    cache = ["batch", model.num_key_value_heads, "capacity", model.cached_head_dim]
    past_key = graph.input(f"past_key_values.{index}.key", graph.float_type, cache)
    past_value = graph.input(f"past_key_values.{index}.value", graph.float_type, cache)
    context, _, _ = graph.op(
        "GroupQueryAttention", packed, "", "", past_key, past_value, "seqlens_k", "total_sequence_length", *rotary,
        outputs=[graph.name("context"), f"present.{index}.key", f"present.{index}.value"], domain=CONTRIB,
        num_heads=model.num_attention_heads, kv_num_heads=model.num_key_value_heads, scale=float(model.head_dim**-0.5),
        do_rotary=1, rotary_interleaved=0,
    )  # fmt: skip
    output = tensors["o_proj.weight"]
    if model.cached_head_dim != model.head_dim:
        output = PaddedHeads(output[:].T, model)[:].T
    return graph.linear(context, output, name="o_proj")


def _gated_mlp(graph: GraphBuilder, x: str, tensors: Prefixed) -> str:
    """down(silu(gate(x)) · up(x))."""
    gate = graph.linear(x, tensors["gate_proj.weight"], name="gate_proj")
    up = graph.linear(x, tensors["up_proj.weight"], name="up_proj")
    activated = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    return graph.linear(graph.op("Mul", activated, up), tensors["down_proj.weight"], name="down_proj")


def build_text_head(path: Path, storage: Storage, model: LanguageModel, vocabulary: Vocabulary, tensors) -> None:
    """hidden_states [rows, H] → logits [rows, text end]; a column is a global id."""
    graph = GraphBuilder(path, storage)
    hidden = graph.input("hidden_states", FLOAT, ["rows", model.hidden_size])
    end = vocabulary.text[1]
    logits = graph.linear(hidden, tensors[model.head_name()].part(0, end), name="lm_head", rank=2)
    graph.output("logits", FLOAT, ["rows", end], logits)
    graph.save()


def build_audio_head(path: Path, storage: Storage, model: LanguageModel, vocabulary: Vocabulary, tensors) -> None:
    """hidden_states [rows, H] → logits of every stream's block in turn, then eos and eot.

    Stream i sees the hidden state plus its own embedding e_i: W(h + e_i) = Wh + We_i, a bias. Stream 0's
    embedding counts as zero.
    """
    head = tensors[model.head_name()]
    blocks = [head.part(start, end) for start, end in vocabulary.audio]
    ends = [head.part(SPECIAL[name], SPECIAL[name] + 1) for name in ("eos", "eot")]
    stream_embeddings = tensors["stream_emb.weight"][:].astype(np.float64)
    bias = [np.zeros(blocks[0].shape[0])]
    bias += [block[:].astype(np.float64) @ stream_embeddings[i] for i, block in enumerate(blocks) if i > 0]
    bias.append(np.zeros(len(ends)))

    graph = GraphBuilder(path, storage)
    hidden = graph.input("hidden_states", FLOAT, ["rows", model.hidden_size])
    weights = Rows(blocks + ends)
    logits = graph.linear(hidden, weights, np.concatenate(bias).astype(np.float32), name="lm_head", rank=2)
    graph.output("logits", FLOAT, ["rows", weights.shape[0]], logits)
    graph.save()
