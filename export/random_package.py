#!/usr/bin/env python3
"""Writes a package of real size with random weights, to measure speed and memory without a checkpoint.

For instance: python3 export/random_package.py --size 1.5b --precision int8 OUT
"""

import argparse
import sys
from pathlib import Path

from ualm_export.byte_tokenizer import byte_tokenizer
from ualm_export.config import Config
from ualm_export.errors import ExportError
from ualm_export.families.ualm.model import Configs, parts_of, random_tensors
from ualm_export.package import Options, check_target, write_package
from ualm_export.parts import Parts
from ualm_export.precision import PRECISIONS
from ualm_export.tensors import TensorStore

LANGUAGE_MODELS = {
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
}
KEY_VALUE_HEADS = {"0.5b": 2, "1.5b": 2, "7b": 4}
TEXT_SIZES = {"0.5b": 151936, "1.5b": 151936, "7b": 152064}
ENCODERS = {
    "af_whisper": {"model_type": "qwen2_audio_encoder"},
    "qwen2_5_omni": {"model_type": "qwen2_5_omni_audio_encoder"},
}
X_CODEC = {"model_type": "xcodec"}  # its defaults are the published sizes


def parts_of_size(size: str, encoder: str, max_positions: int) -> Parts:
    """The model that the size stands for, with X-codec and a full-size audio encoder."""
    common = {
        "model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768,
        "num_key_value_heads": KEY_VALUE_HEADS[size],
    }  # fmt: skip
    configs = Configs(
        language_model=Config(common | LANGUAGE_MODELS[size], size),
        codec=Config(X_CODEC, "X-codec"),
        audio_encoder=Config(ENCODERS[encoder], encoder),
        text_size=TEXT_SIZES[size],
        io_names=["text", "discrete_audio"],
    )
    return parts_of(configs, {}, max_positions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="package folder to write")
    parser.add_argument("--size", choices=LANGUAGE_MODELS, default="1.5b", help="default: %(default)s")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="default: %(default)s")
    parser.add_argument("--encoder", choices=ENCODERS, default="af_whisper", help="default: %(default)s")
    parser.add_argument("--max-positions", type=int, default=32768, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is a package already")
    arguments = parser.parse_args()
    try:
        check_target(arguments.out, arguments.force)
        parts = parts_of_size(arguments.size, arguments.encoder, arguments.max_positions)
        details = Config({"name": f"random-{arguments.size}", "origin": "random weights", "license": "none"}, "options")
        write_package(
            arguments.out, parts, TensorStore(random_tensors(parts, arguments.seed)), details,
            byte_tokenizer(TEXT_SIZES[arguments.size]), Options(precision=arguments.precision),
        )  # fmt: skip
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
