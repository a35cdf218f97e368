"""Checks the wording of comments, docstrings, help and documents: `python3 scripts/check_words.py [FILE…]`, by default all tracked files.

A comment, a docstring, a heading or a list item is a noun phrase or begins with a verb. One that begins with a free relative clause
("What the …", "Whether it …") makes the reader wait for its noun, and is reported, as are a few phrases that say nothing.
"""
import ast
import io
import pathlib
import re
import subprocess
import sys
import tokenize

ROOT = pathlib.Path(__file__).resolve().parents[1]

FREE_RELATIVE = re.compile(r"(what|how|whether|where|which|who|that of|those of)\b(?!-)", re.IGNORECASE)
PHRASES = re.compile(r"\bmakes? no\s+sense\b|\bheader's\s+law\b|[.;:] Errors:\s", re.IGNORECASE)
MARKUP = "*_`\"'“‘([… "

FENCE = re.compile(r"\s*(```|~~~)")
MARKDOWN_ITEM = re.compile(r"\s*(?:#{1,6}|[-*+]|\d+[.)])\s+(?=\S)")
HELP_TEXT = re.compile(r"\bhelp\s*=\s*\(?\s*f?[\"']")


def openings(path, text):
    """Yields (line number, text) of everything in a file that begins a comment, a docstring, a heading, a list item or a help text."""
    if path.suffix == ".md":
        yield from markdown(text)
    elif path.suffix == ".py":
        yield from python(text)
        yield from matches(HELP_TEXT, text)
    elif path.suffix == ".rs":
        yield from comments(text, r"///?|//!")
        yield from matches(HELP_TEXT, text)
    elif path.suffix in {".c", ".h", ".cpp", ".hpp", ".js"}:
        yield from comments(text, r"/\*+|\*(?!/)|///?")
    elif path.suffix in {".toml", ".yml", ".yaml", ".sh"} or path.name in {"Makefile", "Containerfile"}:
        yield from comments(text, r"#+")


def comments(text, marker):
    """Yields the first line of each block of comment lines, list items within it, and comments behind code."""
    alone = re.compile(rf"\s*(?:{marker})(?:\s+|$)")
    behind = re.compile(rf"\s(?:{marker})\s+")
    before = False  # true after a line of the same block that has words
    for number, line in enumerate(text.splitlines(), 1):
        if found := alone.match(line):
            words = line[found.end():]
            item = MARKDOWN_ITEM.match(words)
            if not before or item:
                yield number, words[item.end() if item else 0:]
            before = (before or bool(words)) and not line.endswith("*/")
        else:
            before = False
            if found := behind.search(line):
                yield number, line[found.end():]


def python(text):
    """Yields the docstrings and the comments of a Python file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (words := ast.get_docstring(node)):
            yield node.body[0].lineno, words
    last = 0  # the last line that was a comment alone
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.lstrip().startswith("#")
            if not alone or token.start[0] != last + 1:
                yield token.start[0], token.string.lstrip("# ")
            last = token.start[0] if alone else last


def markdown(text):
    """Yields the headings and list items of a document, but for its code."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            code = not code
        elif not code and (found := MARKDOWN_ITEM.match(line)):
            yield number, line[found.end():]


def matches(pattern, text):
    """Yields the text behind each match of a pattern."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield number, line[found.end():]


def faults(path, text):
    """Yields (line number, reason) of every fault of a file."""
    for number, words in openings(path, text):
        if found := FREE_RELATIVE.match(words.lstrip(MARKUP)):
            yield number, f"begins with “{found.group()}”; begin with a noun or a verb: {words.strip().splitlines()[0][:80]}"
    for number, line in enumerate(text.splitlines(), 1):
        if found := PHRASES.search(line):
            yield number, f"has “{found.group().strip()}”: {line.strip()[:80]}"


def tracked():
    """Returns the paths of all tracked files."""
    return [ROOT / name for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()]


def main():
    named = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
    for path in named:
        if not path.is_file() or not path.is_relative_to(ROOT):
            sys.exit(f"error: {path} is not a file of this repository; expected files below {ROOT}, or none for all tracked files")
    count = 0
    for path in named or tracked():
        try:
            text = path.read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # no text, or removed and not committed yet
        for number, reason in sorted(faults(path, text)):
            print(f"{path.relative_to(ROOT)}:{number}: {reason}")
            count += 1
    if count:
        sys.exit(f"{count} places to word otherwise: see the rules of language in CONTRIBUTING.md")


if __name__ == "__main__":
    main()
