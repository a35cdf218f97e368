#!/usr/bin/env python3
"""Prints the licences of all crates that are linked into the program and the C library, each text once."""
import sys

from crates import ROOT, linked

RULE = "=" * 100

INTRODUCTION = """\
ualm holds the crates below, in source form at https://crates.io/crates/NAME/VERSION. Where a crate offers a choice of licences
ualm uses it under MIT or Apache-2.0 if they are among them. A crate under the MPL-2.0 is used unchanged; its source is there.
"""


class Failure(Exception):
    """A failure with a sentence for a person."""


def words(crate):
    """The texts of a crate's licences."""
    files = crate.licence_files()
    if not files:
        raise Failure(f"{crate.name} {crate.version} ({crate.licence}) comes without its licence's text")
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


def collect(crates):
    """One text about all of `crates`: each licence with those that it is of."""
    users = {}  # by the text without the breaks of its lines, in which copies of one licence differ
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
