#!/usr/bin/env python3
"""Prints the licences of all crates that are linked into the program and the C library, each text once."""
import re
import sys

from crates import ROOT, linked
from fetch_onnxruntime import Failure

RULE = "=" * 100

INTRODUCTION = """\
ualm holds the crates below, in source form at https://crates.io/crates/NAME/VERSION. Where a crate offers a choice of licences
ualm uses it under MIT or Apache-2.0 if they are among them. A crate under the MPL-2.0 is used unchanged; its source is there.
"""


# Texts for crates without a licence file, in order of preference. Only MIT's names authors: those of the crate.
STANDARD = {"Apache-2.0": ROOT / "LICENSE-APACHE", "BSL-1.0": ROOT / "packaging/licences/BSL-1.0.txt", "MIT": ROOT / "packaging/licences/MIT.txt"}


def words(crate):
    """Returns the texts of a crate's licences; without a file, the standard text of one that it offers."""
    files = crate.licence_files()
    return [file.read_text(encoding="utf-8", errors="replace") for file in files] if files else [standard(crate)]


def standard(crate):
    """Returns the standard text of a licence that a crate offers."""
    offered = crate.licence.split(" OR ")
    found = next((file for name, file in STANDARD.items() if name in offered), None)
    text = found.read_text(encoding="utf-8") if found else ""
    if not text or ("@AUTHORS@" in text and not crate.authors):
        expected = f"a licence file in it, or one of {', '.join(STANDARD)}"
        raise Failure(f"{crate.name} {crate.version} ({crate.licence}) comes without its licence's text; expected {expected}")
    return text.replace("@AUTHORS@", re.sub(r" <[^>]*>", "", crate.authors))


def collect(crates):
    """Returns one text about all of `crates`: each licence with its crates."""
    users = {}  # keyed by the text without line breaks, which differ between copies of one licence
    for crate in crates:
        for text in words(crate):
            users.setdefault(" ".join(text.split()), (text.strip(), []))[1].append(crate)
    parts = [INTRODUCTION]
    for text, of in users.values():
        heads = [f"{c.name} {c.version}  {c.licence or 'see below'}  {c.repository}".rstrip() for c in of]
        parts.append("\n".join([RULE, *heads, RULE, "", text, ""]))
    return "\n".join(parts)


def main():
    try:
        print(collect([crate for crate in linked() if crate.folder != ROOT]), end="")
    except (Failure, OSError) as error:
        sys.exit(f"licences.py: {error}")


if __name__ == "__main__":
    main()
