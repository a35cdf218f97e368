#!/usr/bin/env python3
"""llama.cpp (pip llama-cpp-python): steps of two sequences with the full head, and a prompt, on random weights."""

import argparse
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from peer import median_milliseconds, serve
from sizes import COMMON, LANGUAGE_MODELS, VOCABULARY

CONTEXT = 128
STEPS = 12
PRECISIONS = {"F32": gguf.GGMLQuantizationType.F32, "Q8_0": gguf.GGMLQuantizationType.Q8_0, "Q4_0": gguf.GGMLQuantizationType.Q4_0}


def write_model(path, size, precision):
    """A Qwen2 model of a size in GGUF, without a tokenizer."""
    sizes = LANGUAGE_MODELS[size]
    hidden, inner, heads = sizes["hidden_size"], sizes["intermediate_size"], sizes["num_attention_heads"]
    shared = hidden // heads * COMMON["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(sizes["num_hidden_layers"])
    writer.add_context_length(COMMON["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(COMMON["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(COMMON["rms_norm_eps"])
    writer.add_rope_freq_base(COMMON["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    random = np.random.default_rng(0)

    def matrix(name, rows, columns):
        weights = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.02)
        kind = PRECISIONS[precision]
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    def vector(name, length, value):
        writer.add_tensor(name, np.full(length, value, np.float32))

    matrix("token_embd.weight", VOCABULARY, hidden)
    for layer in range(sizes["num_hidden_layers"]):
        block = f"blk.{layer}"
        for name, rows in (("q", hidden), ("k", shared), ("v", shared)):
            matrix(f"{block}.attn_{name}.weight", rows, hidden)
            vector(f"{block}.attn_{name}.bias", rows, 0)
        matrix(f"{block}.attn_output.weight", hidden, hidden)
        for name, rows, columns in (("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)):
            matrix(f"{block}.ffn_{name}.weight", rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            vector(f"{block}.{name}.weight", hidden, 1)
    vector("output_norm.weight", hidden, 1)
    matrix("output.weight", VOCABULARY, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Context:
    """A loaded model and its cache."""

    def __init__(self, path, threads):
        llama_cpp.llama_log_set(SILENT, None)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = 2048, 512, 512, 2
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.random = np.random.default_rng(0)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, places):
        """Runs one random token at each (sequence, position, whether logits are wanted)."""
        batch = llama_cpp.llama_batch_init(len(places), 0, 1)
        batch.n_tokens = len(places)
        for i, (sequence, position, wanted) in enumerate(places):
            batch.token[i] = int(self.random.integers(300, 150000))
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = position, 1, sequence, wanted
        status = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_batch_free(batch)
        if status:
            raise SystemExit(f"llama.cpp's decode gave {status}")


@llama_cpp.llama_log_callback
def SILENT(level, text, data):
    pass


def measure_step(context):
    context.clear()
    for sequence in range(2):
        context.decode([(sequence, position, False) for position in range(CONTEXT)])
    positions = iter(range(CONTEXT, 2048))

    def steps():
        for position in [next(positions) for _ in range(STEPS)]:
            context.decode([(0, position, True), (1, position, True)])

    return median_milliseconds(steps, 3, STEPS)


def measure_prefill(context, length=512):
    def prompt():
        context.clear()
        context.decode([(0, position, position == length - 1) for position in range(length)])

    return median_milliseconds(prompt, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="GGUF file; written when it is not there")
    parser.add_argument("--size", choices=list(LANGUAGE_MODELS), required=True)
    parser.add_argument("--precision", choices=list(PRECISIONS), required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    if not arguments.path.exists():
        partial = arguments.path.with_suffix(".partial")
        write_model(partial, arguments.size, arguments.precision)
        partial.rename(arguments.path)
    context = Context(arguments.path, arguments.threads)
    serve({
        "audio step, guidance, context 128": lambda: measure_step(context),
        "prefill of 512": lambda: measure_prefill(context),
    })  # fmt: skip


if __name__ == "__main__":
    main()
