#!/usr/bin/env python3
"""Rewrites the manifest of a schema-1 package in schema 2: python3 export/upgrade_manifest.py PACKAGE.

No other file of the package changes. The new manifest names the checksum of the old one, so that its records still run.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from ualm_export.errors import ExportError
from ualm_export.families.ualm.schema1 import upgraded
from ualm_export.manifest import FILE_NAME, bytes_of, replace_file, text_of


def upgrade_package(package: Path) -> None:
    """Replaces the manifest atomically; refuses a folder that is not a schema-1 package."""
    path = package / FILE_NAME
    content = bytes_of(package)
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ExportError(f"{path} is not JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise ExportError(f"{path} holds {type(manifest).__name__}; expected the fields of a manifest")
    try:
        text = text_of(upgraded(manifest, hashlib.sha256(content).hexdigest()))
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from None
    _check_files(package, manifest["files"])
    replace_file(path, text.encode())


def _check_files(package: Path, files: dict) -> None:
    for name, description in files.items():
        found = f"{(package / name).stat().st_size} bytes" if (package / name).is_file() else "no such file"
        if found != f"{description['size']} bytes":
            raise ExportError(f"{package / name}: the manifest says {description['size']} bytes, found {found}; get the package again")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    arguments = parser.parse_args()
    try:
        upgrade_package(arguments.package)
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.package / FILE_NAME}: schema 2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
