#!/usr/bin/env python3
"""Converts a UALM or Audex checkpoint, in a folder or on a hub, to a model package: python3 export/export.py CHECKPOINT OUT."""

import argparse
import signal
import sys
from pathlib import Path

from ualm_export.errors import ExportError
from ualm_export.job import export
from ualm_export.options import SPEECH_HEADS, Options
from ualm_export.precision import BLOCK_SIZES, PRECISIONS, TARGETS


def parse_arguments() -> argparse.Namespace:
    defaults = Options()
    parser = argparse.ArgumentParser(description="Converts a UALM or Audex checkpoint to a model package for ualm.")
    parser.add_argument(
        "checkpoint", help="UALM: folder with train.yaml; Audex: the repository's folder; or a repository on Hugging Face's hub, "
        "OWNER/NAME or OWNER/NAME@REVISION, whose files are fetched into the cache (the variables HF_HOME, HF_HUB_CACHE, HF_TOKEN, "
        "HF_ENDPOINT and HF_HUB_OFFLINE apply)",
    )  # fmt: skip
    parser.add_argument("out", type=Path, help="package folder to write")
    parser.add_argument(
        "--target", dest="targets", action="append", choices=TARGETS, metavar="|".join(TARGETS),
        help="a processor or provider to optimize the package for (repeatable; every package runs on every CPU): vnni adds "
        "forms for CPUs with VNNI, about twice as fast on prompts and 1.7 times on recordings; cuda and webgpu add float16 forms "
        "of the graphs, which they share; openvino uses the CPU's (default: cpu and vnni with int8 and int4, else cpu)",
    )  # fmt: skip
    _add_precisions(parser, defaults)
    _add_audex(parser)
    parser.add_argument(
        "--max-positions", type=int, default=defaults.max_positions,
        help="maximum context, if shorter than the model's own (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--name", help="name in the manifest (default: package.json's, else the folder's)")
    parser.add_argument("--license", help="licence of the weights, for the manifest")
    parser.add_argument("--origin", help="source of the checkpoint, for the manifest")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is already a package")
    arguments = parser.parse_args()
    if arguments.max_positions < 1:
        parser.error(f"argument --max-positions: {arguments.max_positions} is not a positive number")
    return arguments


def _add_precisions(parser: argparse.ArgumentParser, defaults: Options) -> None:
    """Adds the options for the storage of the weights."""
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=defaults.precision,
        help="of the language model's weights (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--heads-precision", choices=PRECISIONS[:3],
        help="of the output heads (default: as --precision, int8 with int4)",
    )  # fmt: skip
    parser.add_argument(
        "--codec-encoder-precision", choices=PRECISIONS[:2],
        help="UALM: of the codec's encoder; fp16 changes about one code in a hundred (default: fp32)",
    )  # fmt: skip
    parser.add_argument(
        "--audio-encoder-precision", choices=PRECISIONS[:3], default=defaults.audio_encoder_precision,
        help="of the audio encoder (default: as --precision, int8 with int4); without AVX-512 VNNI, fp16 is faster than int8",
    )  # fmt: skip
    parser.add_argument(
        "--speech-decoder-precision", choices=PRECISIONS[:3],
        help="Audex: of the speech decoder (default: as --precision, int8 with int4)",
    )  # fmt: skip
    parser.add_argument(
        "--block-size", type=int, choices=BLOCK_SIZES, default=defaults.block_size,
        help="weights that share a scale in int4; smaller blocks are more accurate and slower (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--no-calibration", dest="calibration", action="store_false",
        help="int4, vnni: round every weight to the nearest value, without running the model to measure the layers' inputs",
    )  # fmt: skip


def _add_audex(parser: argparse.ArgumentParser) -> None:
    """Adds the options of Audex checkpoints alone."""
    parser.add_argument(
        "--speech-head", choices=SPEECH_HEADS,
        help="Audex: full samples text and speech from all ids, as the reference does; sliced from the ids of each, which is faster "
        "(default: full with fp32 and fp16, sliced with int8 and int4)",
    )  # fmt: skip
    codec = parser.add_mutually_exclusive_group()
    codec.add_argument(
        "--xcodec", metavar="FOLDER|OWNER/NAME",
        help="Audex: X-codec, which decodes general audio; without it the package makes none (default: hf-audio/xcodec-hubert-general-balanced "
        "if CHECKPOINT is fetched, else none)",
    )  # fmt: skip
    codec.add_argument("--no-xcodec", action="store_true", help="Audex: omit X-codec, and with it general audio")


def main() -> int:
    arguments = vars(parse_arguments())
    source = arguments.pop("checkpoint")
    out = arguments.pop("out")
    arguments["targets"] = arguments["targets"] and tuple(dict.fromkeys(arguments["targets"]))
    xcodec = arguments.pop("xcodec")
    without_xcodec = arguments.pop("no_xcodec")
    companions = {"xcodec": xcodec} if xcodec or without_xcodec else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that nothing half-written stays
    try:
        export(source, out, Options(**arguments), companions)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or out}: {error.strerror or error}; nothing was written to {out}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB, {arguments['precision']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
