"""The exporter's error: a sentence for the person who runs it."""

import contextlib
from collections.abc import Iterator


class ExportError(Exception):
    """An error in the checkpoint, the options or the result.

    The message names what was expected, what was found and, if possible, what to do.
    """


class Faults:
    """Collects the errors of independent steps, so that one error lists all of them."""

    def __init__(self):
        self._found: list[ExportError] = []

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Catches an error of the block."""
        try:
            yield
        except ExportError as error:
            self._found.append(error)

    def raise_all(self, title: str) -> None:
        """Raises the collected errors, if any: a single one unchanged, several as a list under `title`."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            lines = [line for error in self._found for line in _indented(str(error))]
            raise ExportError(listing(title, lines))


def _indented(message: str) -> list[str]:
    first, *others = message.splitlines() or [""]
    return [f"- {first}", *(f"  {line}" for line in others)]


def listing(title: str, lines: list[str], limit: int = 40) -> str:
    """Formats `title` and one indented line for each of `lines`, at most `limit` of them."""
    shown = [f"  {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  … and {len(lines) - limit} more")
    return "\n".join([title, *shown])
