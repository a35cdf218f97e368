#!/usr/bin/env python3
"""Rewrites the audio encoder of an earlier package so that it runs on WebGPU: python3 export/upgrade_masks.py PACKAGE.

Its attention uses an input for masks of keys that WebGPU does not support; the new graph adds the same mask to the scores.
The weights do not change. The new manifest names the checksum of the old one, so that its records still run.
"""

import argparse
import sys
from pathlib import Path

import onnx
from ualm_export.errors import ExportError
from ualm_export.manifest import check_file, describe_file, read, replace, replace_file
from ualm_export.masks import with_added_masks

GRAPH = "audio_encoder"


def upgrade_package(package: Path) -> Path:
    """Replaces the audio encoder's graph and the manifest, each atomically; returns the graph's path."""
    manifest, former = read(package)
    graphs = manifest["graphs"]
    files = manifest["files"]
    if GRAPH not in graphs:
        raise ExportError(f"{package} has no {GRAPH}: it does not listen, and needs no new masks")
    graph = package / graphs[GRAPH]
    check_file(graph, files[graph.name])
    try:
        model = with_added_masks(onnx.load(graph, load_external_data=False))
    except ExportError as error:
        raise ExportError(f"{graph}: {error}") from None
    replace_file(graph, model.SerializeToString(deterministic=True))
    files[graph.name] = describe_file(graph)
    replace(package, manifest, former)
    return graph


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    arguments = parser.parse_args()
    try:
        graph = upgrade_package(arguments.package)
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{graph}: attention adds its masks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
