"""Exports a checkpoint folder to a package folder, atomically."""

import contextlib
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from . import manifest
from .calibration import Statistics, calibrated
from .config import Config
from .details import check_details
from .errors import ExportError
from .families import open_checkpoint
from .graph import Storage
from .half.forms import add_half_forms
from .inventory import check_inventory
from .options import Options
from .parts import Checkpoint, Parts
from .precision import HALF_TARGETS, VNNI, storage_by_role
from .row_forms import VARIANT, write_row_forms
from .self_check import check_package
from .tensors import TensorStore


@dataclass(frozen=True)
class Provenance:
    """The known facts about a checkpoint besides its files."""

    name: str | None = None
    license: str | None = None
    origin: str | None = None


def export_package(source: Path, out: Path, options: Options, provenance: Provenance = Provenance()) -> Path:
    """Writes the package `out` from the checkpoint folder `source`."""
    check_target(out, options.force, source, options.xcodec)
    checkpoint = open_checkpoint(source, options)
    parts = checkpoint.parts
    tensors = checkpoint.tensors
    check_inventory(tensors, parts.tensor_shapes(), parts.unused_tensors)
    details = details_with(checkpoint, options, provenance, source.resolve().name)
    return write_package(out, parts, tensors, details, checkpoint.tokenizer, options)


def write_package(
    out: Path, parts: Parts, tensors: TensorStore, details: Config, tokenizer: bytes, options: Options
) -> Path:
    """Writes all files of a package, runs every graph, and puts the folder at `out`."""
    check_details(details, parts)
    storage = _storage(options)
    targets = options.all_targets
    if options.targets and VNNI in targets and not parts.row_forms(storage):
        raise ExportError("the target vnni has forms of the language model and the audio encoder in 8 bits; neither is in int8 or int4")
    with replaced_at_the_end(out) as folder:
        elements = sum(math.prod(shape) for shape in parts.tensor_shapes().values())
        with statistics_for(storage, parts, tensors, tokenizer, options, out) as statistics, progress_bar(elements) as bar:
            tensors.count_reads(bar.update)
            write_graphs(folder, parts, tensors, storage, statistics)
            by_rows = write_row_forms(folder, parts, tensors, storage, statistics) if VNNI in targets else {}
        for enhancer in parts.enhancers.values():
            enhancer.copy(folder)
        (folder / "tokenizer.json").write_bytes(tokenizer)
        check_package(folder, parts)
        composed = manifest.compose(details, options.precision, parts, graph_files(folder))
        manifest.write(folder, composed | variants({VARIANT: by_rows} | half_forms(folder, composed, targets)))
    return out


def _storage(options: Options) -> dict[str, Storage]:
    """Returns the storage of the weights of each role.

    For GPUs the heads of an int4 package are in 8 bits alone: candidates are gathered on the CPU there, and have no float16 form.
    """
    is_for_gpus = options.precision == "int4" and any(target in HALF_TARGETS for target in options.all_targets)
    return storage_by_role(
        options.precision,
        heads=options.heads_precision or ("int8" if is_for_gpus else None),
        codec_encoder=options.codec_encoder_precision,
        audio_encoder=options.audio_encoder_precision,
        speech_decoder=options.speech_decoder_precision,
        block_size=options.block_size,
    )


@contextlib.contextmanager
def statistics_for(
    storage: Mapping[str, Storage], parts: Parts, tensors: TensorStore, tokenizer: bytes, options: Options, out: Path
) -> Iterator[Statistics]:
    """Collects statistics of the layers' inputs: none if no weights are fitted to them, or without calibration."""
    fitted = _fitted(storage, parts)
    if VNNI in options.all_targets:
        fitted |= set(parts.row_forms(storage).values())
    if not fitted or not options.calibration:
        yield {}
        return
    with calibrated(parts, tensors, tokenizer, moments=frozenset(fitted), beside=out) as statistics:
        yield statistics


def progress_bar(elements: int) -> tqdm:
    """Creates a progress bar in weights read; silent if standard error is not a terminal."""
    return tqdm(total=elements, desc="exporting", unit=" weights", unit_scale=True, disable=None, dynamic_ncols=True)


def write_graphs(
    folder: Path, parts: Parts, tensors: TensorStore, storage: Mapping[str, Storage], statistics: Statistics
) -> None:
    """Writes every graph in the form that every CPU runs."""
    fitted = _fitted(storage, parts)
    for name, graph in parts.graphs().items():
        inputs = statistics.get(name, {}) if name in fitted else {}
        graph.build(folder / f"{name}.onnx", replace(storage[graph.role], inputs=inputs), tensors)


def _fitted(storage: Mapping[str, Storage], parts: Parts) -> set[str]:
    """Returns the graphs whose own 4-bit weights are fitted to the layers' inputs; forms by rows are separate."""
    kept = {name: storage[graph.role] for name, graph in parts.graphs().items()}
    fitted = {name for name in kept if kept[name].bits == 4}
    return fitted | {name for name, head in parts.heads.items() if head.has_shortlist(kept[name])}


def graph_files(folder: Path) -> dict:
    """Describes the manifest's section graphs: the graphs whose names contain no form."""
    return {"graphs": {path.stem: path.name for path in sorted(folder.glob("*.onnx")) if "." not in path.stem}}


def half_forms(folder: Path, described: Mapping, targets: Iterable[str]) -> dict[str, dict[str, str]]:
    """Writes the float16 forms that the `targets` benefit from into `folder`; returns their files by target and graph.

    A graph without such a form is reported on standard error.
    """
    files, notes = add_half_forms(folder, described, [target for target in HALF_TARGETS if target in targets])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return files


def variants(forms: Mapping[str, Mapping[str, str]]) -> dict:
    """Composes the manifest's section variants, if there are forms."""
    found = {name: files for name, files in forms.items() if files}
    return {"variants": found} if found else {}


def details_with(checkpoint: Checkpoint, options: Options, provenance: Provenance, folder: str) -> Config:
    """Returns the manifest's fields that no weight determines: those of package.json, overridden by the options.

    Without either, the family and the source of the checkpoint provide them, or the folder's name does.
    """
    fetched = _given(name=provenance.name, origin=provenance.origin)
    silent = {"name": folder} | _given(license=provenance.license) | checkpoint.defaults | fetched
    chosen = _given(name=options.name, license=options.license, origin=options.origin)
    return Config(silent | checkpoint.details.values | chosen, checkpoint.details.source)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def check_target(out: Path, force: bool, *sources: Path | None) -> None:
    """Refuses to overwrite anything but, with `force`, an older package; `sources` are folders that are read."""
    for source in filter(None, sources):
        if out.resolve() in (source.resolve(), *source.resolve().parents):
            raise ExportError(f"{out} is, or holds, the checkpoint {source} itself; choose another folder for the package")
    if not out.exists():
        return
    if not force:
        raise ExportError(f"{out} already exists; give --force to replace it, or another name")
    if not out.is_dir() or (any(out.iterdir()) and not (out / manifest.FILE_NAME).is_file()):
        raise ExportError(f"{out} is not a package (it holds no {manifest.FILE_NAME}); it is not replaced: choose another folder for the package")


@contextlib.contextmanager
def replaced_at_the_end(out: Path) -> Iterator[Path]:
    """Yields a new folder beside `out` that replaces `out` when the block succeeds, and is removed when it fails."""
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
