#!/usr/bin/env python3
"""Compares the linked crates that contain unsafe code with docs/dependencies.md, which gives a reason for each."""
import re
import sys

from crates import ROOT, linked

DOCUMENT = ROOT / "docs" / "dependencies.md"
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
ELSEWHERE = {"benches", "ci", "examples", "fuzz", "tests"}  # code that is not part of the library


def has_unsafe(crate):
    """Returns whether a crate's library has unsafe code: the word outside comments and forbidding attributes."""
    for source in crate.folder.rglob("*.rs"):
        if source.relative_to(crate.folder).parts[0] not in ELSEWHERE:
            if re.search(r"\bunsafe\b", COMMENT.sub("", source.read_text(encoding="utf-8", errors="replace"))):
                return True
    return False


def main():
    found = {crate.name for crate in linked() if crate.folder != ROOT and has_unsafe(crate)}
    explained = set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\|.*\|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))))
    missing = sorted(found - explained)
    gone = sorted(explained - {crate.name for crate in linked()})
    if missing or gone:
        faults = [f"{name} has unsafe code, and no reason for it in docs/dependencies.md; add one" for name in missing]
        faults += [f"{name} has a reason in docs/dependencies.md, but is not linked; remove it there" for name in gone]
        sys.exit("\n".join(faults))
    print(f"{len(found)} of {len(linked()) - 1} crates have unsafe code, with reasons in docs/dependencies.md")


if __name__ == "__main__":
    main()
