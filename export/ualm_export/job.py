"""An export from names to a package: finds the sources, prints the plan, fetches, exports."""

from dataclasses import replace
from pathlib import Path

from .families import check_options
from .options import Options
from .package import Provenance, check_target, export_package
from .plan import Plan
from .source import Fetched, Folder, checkpoint_of, companion_of

Source = Folder | Fetched


def export(checkpoint: str, out: Path, options: Options, companions: dict[str, str | None]) -> Path:
    """Writes the package `out` from the folder, or the repository on a hub, that `checkpoint` names.

    `companions` are folders or repositories, keyed by their options. If an option is not given, a checkpoint of a hub gets the
    family's default; `None` omits the companion.
    """
    check_target(out, options.force, *(Path(name) for name in (checkpoint, *filter(None, companions.values())) if Path(name).exists()))
    source = checkpoint_of(checkpoint)
    beside = _companions(source, companions)
    if source.family:
        check_options(source.family, replace(options, **{name: Path() for name in beside}))
    plan = Plan([source, *beside.values()], out, options)
    for line in plan.lines():
        print(line, flush=True)
    plan.check_space()
    folder = source.obtain()
    options = replace(options, **{name: companion.obtain() for name, companion in beside.items()})
    return export_package(folder, out, options, _provenance(source, list(beside.values())))


def _companions(source: Source, given: dict[str, str | None]) -> dict[str, Source]:
    """Returns the sources beside the checkpoint, by their options."""
    known = source.family.COMPANIONS if source.family else {}
    names = {option: published for option, (published, _) in known.items()} if isinstance(source, Fetched) else {}
    names |= given
    return {option: companion_of(name, known[option][1] if option in known else list) for option, name in names.items() if name}


def _provenance(source: Source, beside: list[Source]) -> Provenance:
    """Returns the origin of the checkpoint and of its companions."""
    own = source.provenance
    origins = [one.provenance.origin for one in (source, *beside) if one.provenance.origin]
    return replace(own, origin=", ".join(origins)) if own.origin else own
