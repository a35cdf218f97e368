#!/usr/bin/env python3
"""Adds float16 forms of a package's graphs for GPUs: python3 export/add_variants.py PACKAGE --target cuda.

The forms are made from the package's graphs, without its checkpoint, and written to files of their own; of the package's files
only the manifest changes. The new manifest names the checksum of the old one, so that its records still run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ualm_export.errors import ExportError
from ualm_export.half.forms import FORMS
from ualm_export.manifest import check_file, describe_file, read, replace
from ualm_export.package import half_forms, variants
from ualm_export.precision import HALF_TARGETS


def add_variants(package: Path, targets: Sequence[str]) -> dict[str, dict[str, str]]:
    """Writes the forms and then, atomically, the manifest; returns the manifest's section variants."""
    manifest, former = read(package)
    former_forms = manifest.get("variants", {})
    if former_forms.keys() & set(HALF_TARGETS):
        raise ExportError(f"{package} has variants already, for {', '.join(former_forms)}; export the checkpoint again for others")
    for name, described in manifest["files"].items():
        check_file(package / name, described)
    try:
        added = half_forms(package, manifest, targets)
        if not added:
            raise ExportError(f"{package} has no graph that gains by float16 on {' or '.join(targets)}")
        files = {path.name: describe_file(path) for path in _written(package, manifest)}
        replace(package, manifest | variants(former_forms | added) | {"files": manifest["files"] | files}, former)
    except BaseException:
        for path in _written(package, manifest):
            path.unlink()
        raise
    return added


def _written(package: Path, manifest: dict) -> list[Path]:
    """Returns the files of forms that `manifest` does not list."""
    forms = {f"{graph}.{form}.onnx{end}" for graph in manifest["graphs"] for form in FORMS for end in ("", ".data")}
    return [package / name for name in sorted(forms - set(manifest["files"])) if (package / name).is_file()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument(
        "--target", dest="targets", action="append", required=True, choices=HALF_TARGETS, help="the provider (repeatable)"
    )
    arguments = parser.parse_args()
    try:
        added = add_variants(arguments.package, tuple(dict.fromkeys(arguments.targets)))
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for provider, files in added.items():
        print(f"{provider}: {', '.join(files.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
