#!/usr/bin/env python3
"""PyTorch: the authors' audio step, the same with sliced heads, a prompt, X-codec and the audio encoder.

Random weights; speed does not depend on them.
"""

import argparse

import torch
import transformers
from peer import CONTEXT, PREFILL, PROMPT, SLICED, STEP, answers, median_milliseconds, serve
from sizes import BLOCK, LANGUAGE_MODELS, STREAMS, TEXT, VOCABULARY, config
from transformers import Qwen2AudioEncoder, Qwen2AudioEncoderConfig, Qwen2ForCausalLM, XcodecConfig, XcodecModel
from transformers.cache_utils import DynamicCache

STEPS = 8
PRECISIONS = {"fp32": torch.float32, "bfloat16": torch.bfloat16}
SCALE = 3.0
TEMPERATURE = 0.8
TOP_K = 20


class LanguageModel:
    """A model for all steps."""

    def __init__(self, size):
        with torch.device("meta"):
            model = Qwen2ForCausalLM(config(size)).to(torch.get_default_dtype())
        self.model = model.to_empty(device="cpu").eval()
        for parameter in self.model.parameters():
            parameter.data.normal_(0, 0.02) if parameter.dim() > 1 else parameter.data.fill_(1)
        rotary = self.model.model.rotary_emb
        inverse, _ = rotary.compute_default_rope_parameters(self.model.config, device="cpu")
        rotary.inv_freq = inverse
        self.stream_embedding = torch.randn(STREAMS, self.model.config.hidden_size) * 0.02
        self.mask = torch.ones(STREAMS, VOCABULARY, dtype=torch.bool)
        for stream in range(STREAMS):
            start = TEXT + stream * BLOCK
            self.mask[stream, start : start + BLOCK] = False
        self.mask[0, 2:4] = False

    def cache(self, rows):
        """Allocates keys and values of `CONTEXT` positions."""
        sizes = self.model.config
        shape = (rows, sizes.num_key_value_heads, CONTEXT, sizes.hidden_size // sizes.num_attention_heads)
        cache = DynamicCache()
        for layer in range(sizes.num_hidden_layers):
            cache.update(torch.randn(shape), torch.randn(shape), layer)
        return cache

    def hidden(self, frame, cache):
        """Returns the last hidden states [2, 1, 1, hidden] of a frame for both branches."""
        embeddings = self.model.model.embed_tokens(frame.tile(2, 1, 1)).sum(dim=2)
        output = self.model.model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
        return output.last_hidden_state.unsqueeze(2)

    def authors_step(self, frame, cache):
        """Computes a step as the published code does: the whole head on every stream, then masks."""
        streams = self.stream_embedding.clone()
        streams[0] = 0
        logits = self.model.lm_head(self.hidden(frame, cache) + streams)
        logits.masked_fill_(self.mask, float("-inf"))
        conditional, unconditional = logits.chunk(2)
        logits = conditional * SCALE + unconditional * (1 - SCALE)
        logits.masked_fill_(self.mask, float("-inf"))
        return draw(logits[0, 0])[None, None]

    def sliced_step(self, frame, cache):
        """Computes a step with each stream's own rows of the head."""
        hidden = self.hidden(frame, cache)[:, 0] + self.stream_embedding
        rows = self.model.lm_head.weight[TEXT:].view(STREAMS, BLOCK, -1)
        logits = torch.bmm(hidden.transpose(0, 1), rows.transpose(1, 2))
        guided = logits[:, 0] * SCALE + logits[:, 1] * (1 - SCALE)
        return (draw(guided) + TEXT + torch.arange(STREAMS) * BLOCK)[None, None]

    def measure_step(self, step):
        cache = self.cache(2)
        frame = torch.randint(TEXT, VOCABULARY, (1, 1, STREAMS))

        def work():
            nonlocal frame
            for _ in range(STEPS):
                frame = step(frame, cache)

        return median_milliseconds(work, 3, STEPS)

    def measure_prefill(self):
        embeddings = torch.randn(1, PROMPT, self.model.config.hidden_size)
        return median_milliseconds(lambda: self.model.model(inputs_embeds=embeddings, use_cache=True), 3)


def draw(logits):
    """Draws one id of each row [rows, ids] from the twenty likeliest."""
    values, ids = torch.topk(logits, TOP_K)
    chosen = torch.multinomial(torch.softmax(values / TEMPERATURE, -1), 1)
    return torch.gather(ids, -1, chosen).squeeze(-1)


def language_model_measures(size):
    model = LanguageModel(size)
    return {
        STEP: lambda: model.measure_step(model.authors_step),
        STEP + SLICED: lambda: model.measure_step(model.sliced_step),
        PREFILL: model.measure_prefill,
    }


def codec_measures(seconds=10):
    codec = XcodecModel(XcodecConfig()).eval()
    codes = torch.randint(0, 1024, (1, STREAMS, 50 * seconds))
    sound = torch.randn(1, 1, 16000 * seconds) * 0.1
    return {
        "codec decode 10 s": lambda: median_milliseconds(lambda: codec.decode(codes), 3),
        "codec encode 10 s": lambda: median_milliseconds(lambda: codec.encode(sound, bandwidth=4), 3),
    }


def encoder_measures():
    encoder = Qwen2AudioEncoder(Qwen2AudioEncoderConfig()).eval()
    window = torch.randn(1, 128, 3000)
    return {"listening to 30 s": lambda: median_milliseconds(lambda: encoder(window), 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(LANGUAGE_MODELS), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", choices=list(PRECISIONS), required=True)
    parser.add_argument("--part", choices=["steps", "prefill", "codec", "encoder"], required=True)
    arguments = parser.parse_args()
    answering = answers()
    torch.set_default_dtype(PRECISIONS[arguments.precision])
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    measures = {"codec": codec_measures, "encoder": encoder_measures}.get(arguments.part)
    measures = measures() if measures else language_model_measures(arguments.size)
    serve(answering, f"PyTorch {torch.__version__}, transformers {transformers.__version__}", measures)


if __name__ == "__main__":
    main()
