#!/usr/bin/env python3
"""llama.cpp (pip llama-cpp-python): steps of two sequences with the full head, and a prompt, on random weights."""

import argparse
import itertools
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from peer import CONTEXT, PREFILL, PROMPT, STEP, answers, median_milliseconds, serve
from sizes import COMMON, LANGUAGE_MODELS

STEPS = 12


def write_model(path, size, precision):
    """Writes a Qwen2 model of a size in GGUF, without a tokenizer."""
    sizes = {**COMMON, **LANGUAGE_MODELS[size]}
    writer = gguf.GGUFWriter(path, "qwen2")
    add_sizes(writer, sizes)
    add_weights(writer, sizes, gguf.GGMLQuantizationType[precision])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_sizes(writer, sizes):
    writer.add_block_count(sizes["num_hidden_layers"])
    writer.add_context_length(sizes["max_position_embeddings"])
    writer.add_embedding_length(sizes["hidden_size"])
    writer.add_feed_forward_length(sizes["intermediate_size"])
    writer.add_head_count(sizes["num_attention_heads"])
    writer.add_head_count_kv(sizes["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(sizes["rms_norm_eps"])
    writer.add_rope_freq_base(sizes["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(sizes["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


def add_weights(writer, sizes, kind):
    hidden = sizes["hidden_size"]
    inner = sizes["intermediate_size"]
    vocabulary = sizes["vocab_size"]
    shared = hidden // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    random = np.random.default_rng(0)

    def matrix(name, rows, columns):
        weights = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.02)
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    def vector(name, length, value):
        writer.add_tensor(name, np.full(length, value, np.float32))

    matrix("token_embd.weight", vocabulary, hidden)
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
    matrix("output.weight", vocabulary, hidden)


class Context:
    """A loaded model and its cache."""

    def __init__(self, path, threads):
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = 2048
        options.n_batch = PROMPT
        options.n_ubatch = PROMPT
        options.n_seq_max = 2
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.random = np.random.default_rng(0)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, places):
        """Runs one random token for each (sequence, position, whether logits are wanted)."""
        batch = llama_cpp.llama_batch_init(len(places), 0, 1)
        batch.n_tokens = len(places)
        for i, (sequence, position, wanted) in enumerate(places):
            batch.token[i] = int(self.random.integers(300, 150000))
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        status = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_batch_free(batch)
        if status:
            raise SystemExit(f"llama.cpp's decode gave {status}")


def measure_step(context):
    context.clear()
    for sequence in range(2):
        context.decode([(sequence, position, False) for position in range(CONTEXT)])
    positions = itertools.count(CONTEXT)

    def steps():
        for position in itertools.islice(positions, STEPS):
            context.decode([(0, position, True), (1, position, True)])

    return median_milliseconds(steps, 3, STEPS)


def measure_prefill(context):
    def prompt():
        context.clear()
        context.decode([(0, position, position == PROMPT - 1) for position in range(PROMPT)])

    return median_milliseconds(prompt, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="GGUF file; written if it does not exist")
    parser.add_argument("--size", choices=list(LANGUAGE_MODELS), required=True)
    parser.add_argument("--precision", choices=["Q4_0", "Q8_0", "F32"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    answering = answers()
    if not arguments.path.exists():
        partial = arguments.path.with_suffix(".partial")
        write_model(partial, arguments.size, arguments.precision)
        partial.rename(arguments.path)
    context = Context(arguments.path, arguments.threads)
    measures = {STEP: lambda: measure_step(context), PREFILL: lambda: measure_prefill(context)}
    features = llama_cpp.llama_print_system_info().decode()
    serve(answering, f"llama-cpp-python {llama_cpp.__version__} ({features})", measures)


if __name__ == "__main__":
    main()
