"""The sizes of the compared models: those of export/random_package.py, with the codec's eight streams."""

STREAMS = 8
BLOCK = 1025
TEXT = 256 + 151936
VOCABULARY = TEXT + STREAMS * BLOCK

LANGUAGE_MODELS = {
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}
COMMON = {
    "num_key_value_heads": 2, "vocab_size": VOCABULARY, "tie_word_embeddings": False, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}  # fmt: skip


def config(size):
    """Returns the Qwen2Config of a size, with the vocabulary of the published model."""
    from transformers import Qwen2Config

    return Qwen2Config(**COMMON, **LANGUAGE_MODELS[size])
