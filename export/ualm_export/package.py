"""From a checkpoint folder to a package folder, all of it or nothing."""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from . import audio_encoder, language_model, manifest
from .audio_encoder import AudioEncoder, build_audio_encoder, check_front_end
from .checkpoint import Checkpoint
from .codec import Codec, codec_from_config, codec_manifest
from .config import Config
from .enhancer import CHANNELS, SAMPLING_RATE, copy_enhancer
from .errors import ExportError
from .inventory import check_inventory
from .language_model import LanguageModel, build_audio_head, build_embed, build_llm, build_text_head
from .precision import storage_by_graph, variants
from .self_check import check_package
from .tensors import TensorStore
from .vocabulary import Vocabulary

_MAX_POSITIONS = 32768
_BUILDERS = {"llm": build_llm}  # of the graphs that have variants


@dataclass(frozen=True)
class Options:
    precision: str = "fp32"
    targets: tuple[str, ...] = ("cpu",)
    heads_precision: str | None = None
    codec_encoder_precision: str = "fp32"
    audio_encoder_precision: str | None = None
    max_positions: int = _MAX_POSITIONS
    name: str | None = None
    license: str | None = None
    origin: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Parts:
    """The parts of the model, as the configs describe them."""

    model: LanguageModel
    encoder: AudioEncoder
    codec: Codec
    vocabulary: Vocabulary

    @classmethod
    def of(cls, checkpoint: Checkpoint, max_positions: int = _MAX_POSITIONS) -> "Parts":
        codec = codec_from_config(checkpoint.codec)
        streams = codec.quantizers
        if "stream_emb.weight" in checkpoint.tensors:
            streams = checkpoint.tensors["stream_emb.weight"].shape[0]
        if streams > codec.quantizers:
            raise ExportError(
                f"stream_emb.weight has {streams} streams, but the codec has {codec.quantizers} quantizers "
                f"({checkpoint.codec.source})"
            )
        encoder = AudioEncoder.from_config(checkpoint.audio_encoder, checkpoint.tensors, checkpoint.encoder_choice)
        check_front_end(checkpoint.preprocessor, encoder)
        return cls(
            model=LanguageModel.from_config(checkpoint.language_model, checkpoint.tensors, max_positions),
            encoder=encoder,
            codec=codec,
            vocabulary=Vocabulary.layout(
                checkpoint.discrete_ios, checkpoint.text.get("vocab_size"), streams, codec.codebook_size
            ),
        )

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        return (
            self.model.tensor_shapes(self.vocabulary)
            | self.encoder.tensor_shapes(self.model.hidden_size)
            | self.codec.tensor_shapes(self.vocabulary.streams)
        )

    def unused_tensors(self) -> list[str]:
        return (
            language_model.UNUSED_TENSORS
            + audio_encoder.UNUSED_TENSORS
            + self.codec.unused_tensors(self.vocabulary.streams)
        )


def export_package(source: Path, out: Path, options: Options) -> Path:
    """Writes the package `out` from the checkpoint folder `source`."""
    check_target(out, options.force, source)
    checkpoint = Checkpoint.open(source)
    parts = Parts.of(checkpoint, options.max_positions)
    check_inventory(checkpoint.tensors, parts.tensor_shapes(), parts.unused_tensors())
    details = details_with(checkpoint.details, options, source.resolve().name)
    return write_package(out, parts, checkpoint.tensors, details, checkpoint.tokenizer.read_bytes(), options, source)


def write_package(
    out: Path, parts: Parts, tensors: TensorStore, details: Config, tokenizer: bytes, options: Options,
    enhancer_folder: Path | None = None,
) -> Path:  # fmt: skip
    """Writes all files of a package, runs every graph once, and puts the folder at `out`."""
    manifest.check_details(details)
    with replaced_at_the_end(out) as folder:
        elements = sum(math.prod(shape) for shape in parts.tensor_shapes().values())
        with progress_bar(elements) as bar:
            tensors.on_read = bar.update
            write_graphs(folder, parts, tensors, options)
        enhancer = enhancer_folder is not None and copy_enhancer(enhancer_folder, folder)
        (folder / "tokenizer.json").write_bytes(tokenizer)
        check_package(folder, parts.model, parts.encoder, parts.codec, parts.vocabulary, enhancer)
        manifest.write(folder, manifest.compose(details, options.precision, sections(folder, parts, enhancer)))
    return out


def progress_bar(elements: int) -> tqdm:
    """A bar in weights read; silent where standard error is no terminal."""
    return tqdm(total=elements, desc="exporting", unit=" weights", unit_scale=True, disable=None, dynamic_ncols=True)


def write_graphs(folder: Path, parts: Parts, tensors, options: Options) -> None:
    storage = storage_by_graph(
        options.precision, options.heads_precision, options.codec_encoder_precision, options.audio_encoder_precision
    )
    model, vocabulary, codec = parts.model, parts.vocabulary, parts.codec
    streams = vocabulary.streams

    def at(name: str) -> tuple:
        return folder / f"{name}.onnx", storage[name]

    build_embed(*at("embed"), model, vocabulary, tensors)
    build_llm(*at("llm"), model, tensors)
    build_text_head(*at("text_head"), model, vocabulary, tensors)
    build_audio_head(*at("audio_head"), model, vocabulary, tensors)
    build_audio_encoder(*at("audio_encoder"), parts.encoder, model.hidden_size, tensors)
    codec.build_encoder(*at("codec_encoder"), streams, tensors)
    codec.build_decoder(*at("codec_decoder"), streams, tensors)
    for target in options.targets:
        for name, form in variants(target, options.precision).items():
            _BUILDERS[name](folder / f"{name}.{target}.onnx", form, model, tensors)


def sections(folder: Path, parts: Parts, enhancer: bool) -> dict:
    """The parts of the manifest that follow from the model."""
    return {
        "vocabulary": parts.vocabulary.manifest(),
        "language_model": parts.model.manifest(),
        "audio_encoder": parts.encoder.manifest(),
        "codec": codec_manifest(parts.codec),
        "enhancer": {"sampling_rate": SAMPLING_RATE, "channels": CHANNELS} if enhancer else None,
        "graphs": {path.stem: path.name for path in sorted(folder.glob("*.onnx")) if "." not in path.stem},
        "variants": variant_files(folder),
    }


def variant_files(folder: Path) -> dict[str, dict[str, str]]:
    """By provider, the files of the graphs that it has in another form: GRAPH.PROVIDER.onnx."""
    files: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("*.*.onnx")):
        name, target = path.stem.split(".")
        files.setdefault(target, {})[name] = path.name
    return files


def details_with(details: Config, options: Options, name: str) -> Config:
    """What package.json says, overruled by the options; `name` is used when neither gives one."""
    given = {"name": options.name, "license": options.license, "origin": options.origin}
    values = {"name": name} | details.values | {key: value for key, value in given.items() if value is not None}
    return Config(values, details.source)


def check_target(out: Path, force: bool, source: Path | None = None) -> None:
    """Refuses to write over anything but, with `force`, an older package."""
    if source is not None and out.resolve() in (source.resolve(), *source.resolve().parents):
        raise ExportError(f"{out} is, or holds, the checkpoint itself; choose another place for the package")
    if not out.exists():
        return
    if not force:
        raise ExportError(f"{out} already exists; give --force to replace it, or another name")
    if not out.is_dir() or (any(out.iterdir()) and not (out / manifest.FILE_NAME).is_file()):
        raise ExportError(f"{out} is not a package (it holds no {manifest.FILE_NAME}); it is not replaced")


@contextlib.contextmanager
def replaced_at_the_end(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place when the block ends well, and is removed when it does not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    former = out.with_name(f".{out.name}.former-{os.getpid()}")
    partial.mkdir()
    try:
        yield partial
        if out.exists():
            out.rename(former)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if former.exists() and not out.exists():
            former.rename(out)
        raise
    shutil.rmtree(former, ignore_errors=True)
