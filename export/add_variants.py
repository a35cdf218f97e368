#!/usr/bin/env python3
"""Adds to a package the float16 forms of its graphs for GPUs: python3 export/add_variants.py PACKAGE --target cuda.

The forms are made from the graphs of the package; no checkpoint is needed, and no file but the manifest changes. The new
manifest names the old one's checksum, so that records made with it still run.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ualm_export.errors import ExportError
from ualm_export.half.forms import SUFFIX
from ualm_export.manifest import describe_file, read, replace
from ualm_export.package import variants
from ualm_export.precision import HALF_TARGETS


def add_variants(package: Path, targets: Iterable[str]) -> dict[str, dict[str, str]]:
    """Writes the forms and then, atomically, the manifest; gives its section variants."""
    manifest, former = read(package)
    if present := sorted(path.name for path in package.glob(f"*{SUFFIX}*")):
        raise ExportError(f"{package} has float16 forms already: {', '.join(present)}")
    for name, described in manifest["files"].items():
        if not (package / name).is_file() or describe_file(package / name) != described:
            raise ExportError(f"{package / name} is not the file that the manifest describes")
    try:
        added = variants(package, manifest, targets).get("variants", {})
        if not added:
            raise ExportError(f"{package} has no graph that float16 can compute")
        manifest["variants"] = manifest.get("variants", {}) | added
        manifest["files"] |= {path.name: describe_file(path) for path in sorted(package.glob(f"*{SUFFIX}*"))}
        replace(package, manifest, former)
    except BaseException:
        for path in package.glob(f"*{SUFFIX}*"):
            path.unlink()
        raise
    return manifest["variants"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument(
        "--target", dest="targets", action="append", required=True, choices=HALF_TARGETS, help="the provider (repeatable)"
    )
    arguments = parser.parse_args()
    try:
        added = add_variants(arguments.package, arguments.targets)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for provider, files in added.items():
        print(f"{provider}: {', '.join(files.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
