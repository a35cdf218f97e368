#!/usr/bin/env python3
"""Writes the tables of docs/architecture.md from the sources: the modules of src/, and the glossary of src/lib.rs. Run by `make reference`."""
import pathlib
import re

from generated import filled

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src"
PAGE = ROOT / "docs" / "architecture.md"

# The modules in the order in which a reader meets them.
GROUPS = {
    "Use": ["model", "session", "reason", "chain", "record", "engine"],
    "Input": ["audio", "listen", "text", "prompt"],
    "Generation": ["generate", "language_model", "cache", "token", "sampling", "modality", "codec"],
    "Graphs": ["package", "runtime", "provider", "compare", "speed"],
    "Foundations": ["error", "limits", "cancel", "file", "utf8", "count", "memory", "processor", "hosts", "install", "system", "time_limit", "internal"],
}
LINK = re.compile(r"\[(`[^`]+`)\](?:\([^)]*\))?")


def modules():
    """Returns the names of the modules that src/lib.rs declares."""
    return re.findall(r"^(?:pub )?mod (\w+);", (SOURCES / "lib.rs").read_text("utf-8"), re.MULTILINE)


def inner_documentation(source):
    """Returns the lines of a file's `//!` documentation."""
    return [line.removeprefix("//!").strip() for line in source.splitlines() if line.startswith("//!")]


def summary(module):
    """Returns the path of a module below src/, and the first sentence of its documentation."""
    path = next(path for path in (SOURCES / module / "mod.rs", SOURCES / f"{module}.rs") if path.is_file())
    first = " ".join(inner_documentation(path.read_text("utf-8"))).split("  ")[0]
    sentence = re.match(r".+?\.(?= [A-Z]|$)", first)
    place = f"{module}/" if (SOURCES / module).is_dir() else f"{module}.rs"
    return f"[`{place}`](../src/{place})", LINK.sub(r"\1", sentence.group() if sentence else first)


def module_table():
    """Returns the table of all modules, in their groups."""
    missing = set(modules()) ^ {module for group in GROUPS.values() for module in group}
    if missing:
        raise SystemExit(f"scripts/architecture.py has to name each module of src/lib.rs once; differs in: {', '.join(sorted(missing))}")
    rows = [f"| {name if module == group[0] else ''} | {place} | {text} |" for name, group in GROUPS.items() for module in group
            for place, text in [summary(module)]]
    return "\n".join(["| | module | |", "|---|---|---|", *rows])


def glossary():
    """Returns the table of the glossary on top of src/lib.rs."""
    lines = inner_documentation((SOURCES / "lib.rs").read_text("utf-8"))
    table = [line for line in lines[lines.index("# Glossary"):] if line.startswith("|")]
    return "\n".join(LINK.sub(r"\1", line) for line in table)


def page(text):
    """Returns the page with its tables written anew."""
    return filled(filled(text, "modules", module_table()), "glossary", glossary())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8", newline="\n")
