#!/usr/bin/env python3
"""Writes the list of functions in docs/c.md from ualm.h. Run by `make reference`."""
import pathlib
import re

from generated import filled

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADER = ROOT / "crates" / "capi" / "include" / "ualm.h"
PAGE = ROOT / "docs" / "c.md"
FUNCTION = re.compile(r"/\*\*\n((?: \*[^\n]*\n)+?) \*/\n[\w* ]*?\b(ualm_\w+)\(")


def functions():
    """Returns the name of each function and the first sentence of its documentation, in the order of the header."""
    found = []
    for comment, name in FUNCTION.findall(HEADER.read_text("utf-8")):
        text = " ".join(line.removeprefix(" *").strip() for line in comment.splitlines())
        sentence = re.match(r".+?[.](?=\s|$)", text.split("  ")[0])
        found.append((name, (sentence.group() if sentence else text).replace("|", "\\|")))
    return found


def table():
    """Returns the table of all functions, in the groups of their objects."""
    rows = []
    last = ""
    for name, text in functions():
        group = name.split("_")[1]
        rows.append(f"| {group if group != last else ''} | `{name}` | {text} |")
        last = group
    return "\n".join(["| | function | |", "|---|---|---|", *rows])


def page(text):
    """Returns the page with its table written anew."""
    return filled(text, "functions", table())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8", newline="\n")
