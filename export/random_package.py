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
from ualm_export.families.audex import model as audex
from ualm_export.families.audex import stand_in
from ualm_export.families.ualm import model as ualm
from ualm_export.options import MAX_POSITIONS, SPEECH_HEADS, Options
from ualm_export.package import check_target, write_package
from ualm_export.parts import Checkpoint
from ualm_export.precision import BLOCK_SIZE, BLOCK_SIZES, PRECISIONS, TARGETS
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
AUDEX = "audex-2b"


def ualm_of_size(size: str, encoder: str, options: Options, seed: int) -> Checkpoint:
    """Returns the model of a size, with X-codec and a full-size audio encoder."""
    common = {
        "model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768,
        "num_key_value_heads": KEY_VALUE_HEADS[size],
    }  # fmt: skip
    configs = ualm.Configs(
        language_model=Config(common | LANGUAGE_MODELS[size], size),
        codec=Config(X_CODEC, "X-codec"),
        audio_encoder=Config(ENCODERS[encoder], encoder),
        text_size=TEXT_SIZES[size],
        io_names=["text", "discrete_audio"],
    )
    parts = ualm.parts_of(configs, {}, options.max_positions)
    tensors = TensorStore(ualm.random_tensors(parts, seed))
    return Checkpoint(parts, tensors, byte_tokenizer(TEXT_SIZES[size]), details_of(size))


def audex_2b(options: Options, seed: int) -> Checkpoint:
    """Returns Audex of the published size, with X-codec and the speech decoder."""
    configs, tokenizer, tokens, chat = stand_in.stand_in_2b()
    parts = audex.parts_of(configs, tokens, chat, {}, options)
    return Checkpoint(parts, TensorStore(stand_in.random_tensors(parts, seed)), tokenizer, details_of(AUDEX))


def details_of(size: str) -> Config:
    return Config({"name": f"random-{size}", "origin": "random weights", "license": "none"}, "options")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="package folder to write")
    parser.add_argument("--size", choices=[*LANGUAGE_MODELS, AUDEX], default="1.5b", help="default: %(default)s")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="default: %(default)s")
    parser.add_argument("--encoder", choices=ENCODERS, help=f"not for {AUDEX} (default: af_whisper)")
    parser.add_argument("--speech-head", choices=SPEECH_HEADS, help=f"for {AUDEX}; default: as the exporter's")
    parser.add_argument(
        "--speech-decoder-precision", choices=PRECISIONS[:3], help=f"for {AUDEX}; default: as the exporter's"
    )
    parser.add_argument(
        "--block-size", type=int, choices=BLOCK_SIZES, default=BLOCK_SIZE, help="as for export.py (default: %(default)s)"
    )
    parser.add_argument(
        "--target", dest="targets", action="append", choices=TARGETS, metavar="|".join(TARGETS),
        help="add what this processor or provider needs, as for export.py (repeatable; default: as the exporter's)",
    )  # fmt: skip
    parser.add_argument("--max-positions", type=int, default=MAX_POSITIONS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is a package already")
    arguments = parser.parse_args()
    if arguments.max_positions < 1:
        parser.error(f"argument --max-positions: {arguments.max_positions} is not a positive number")
    unused = ("encoder",) if arguments.size == AUDEX else ("speech_head", "speech_decoder_precision")
    for field in unused:
        if getattr(arguments, field) is not None:
            parser.error(f"--{field.replace('_', '-')} does not apply to the size {arguments.size}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    options = Options(
        precision=arguments.precision,
        speech_head=arguments.speech_head,
        speech_decoder_precision=arguments.speech_decoder_precision,
        max_positions=arguments.max_positions,
        block_size=arguments.block_size,
        calibration=False,
        targets=arguments.targets and tuple(dict.fromkeys(arguments.targets)),
    )
    try:
        check_target(arguments.out, arguments.force)
        if arguments.size == AUDEX:
            made = audex_2b(options, arguments.seed)
        else:
            made = ualm_of_size(arguments.size, arguments.encoder or "af_whisper", options, arguments.seed)
        write_package(arguments.out, made.parts, made.tensors, made.details, made.tokenizer, options)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
