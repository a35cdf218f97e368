#!/usr/bin/env python3
"""Prints the bill of materials of a release (CycloneDX 1.6, JSON): the crates, ONNX Runtime, the default package."""
import json
import sys
import uuid

from crates import ROOT, linked
from fetch_onnxruntime import VERSION as ONNX_RUNTIME

PACKAGE = ROOT / "onnx/default/manifest.json"


def component(crate, kind):
    """Returns a crate as a CycloneDX component."""
    made = {"type": kind, "bom-ref": crate.purl, "name": crate.name, "version": crate.version, "purl": crate.purl}
    if crate.authors:
        made["author"] = crate.authors
    if crate.licence:
        made["licenses"] = [{"expression": crate.licence}]
    if crate.sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": crate.sha256}]
    if crate.repository:
        made["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return made


def onnx_runtime():
    """Returns the library that is loaded at run time."""
    purl = f"pkg:pypi/onnxruntime@{ONNX_RUNTIME}"
    return {
        "type": "library", "bom-ref": purl, "name": "onnxruntime", "version": ONNX_RUNTIME, "purl": purl,
        "licenses": [{"license": {"id": "MIT"}}],
    }  # fmt: skip


def package():
    """Returns the default package."""
    manifest = json.loads(PACKAGE.read_text(encoding="utf-8"))
    return {
        "type": "machine-learning-model", "bom-ref": "default-package", "name": manifest["name"], "description": manifest["origin"],
        "licenses": [{"license": {"name": manifest["license"]}}],
    }  # fmt: skip


def bill(triple=None):
    """Returns the whole bill of a build for `triple` or this machine, the same for the same sources."""
    own, *crates = linked(triple)
    others = [onnx_runtime(), package()]
    needs = [{"ref": crate.purl, "dependsOn": list(crate.needs)} for crate in (own, *crates)]
    needs[0]["dependsOn"] += [other["bom-ref"] for other in others]
    content = {
        "metadata": {"component": component(own, "application")},
        "components": [component(crate, "library") for crate in crates] + others,
        "dependencies": needs + [{"ref": other["bom-ref"]} for other in others],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return head | content


def text(triple=None):
    """Returns the bill as the text of a file."""
    return json.dumps(bill(triple), indent=1, ensure_ascii=False) + "\n"


def main():
    sys.stdout.write(text())


if __name__ == "__main__":
    main()
