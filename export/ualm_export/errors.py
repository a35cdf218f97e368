"""The one error of the exporter: a sentence for the person who runs it."""

import contextlib
from collections.abc import Iterator


class ExportError(Exception):
    """Something in the checkpoint, the options or the result is not as it must be.

    The message says what was expected, what was found and, where there is one, what to do.
    """


class Faults:
    """Gathers the errors of steps that do not need one another, so that one error lists them all."""

    def __init__(self):
        self._found: list[ExportError] = []

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps an error of the block."""
        try:
            yield
        except ExportError as error:
            self._found.append(error)

    def raise_all(self, title: str) -> None:
        """Raises what was kept, if anything was: one error as it is, several as a list under `title`."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            lines = [line for error in self._found for line in _indented(str(error))]
            raise ExportError(listing(title, lines))


def _indented(message: str) -> list[str]:
    first, *others = message.splitlines() or [""]
    return [f"- {first}", *(f"  {line}" for line in others)]


def listing(title: str, lines: list[str], limit: int = 40) -> str:
    """`title`, then one indented line for each of `lines`, at most `limit` of them."""
    shown = [f"  {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  … and {len(lines) - limit} more")
    return "\n".join([title, *shown])
