"""The one error of the exporter: a sentence for the person who runs it."""


class ExportError(Exception):
    """Something in the checkpoint, the options or the result is not as it must be.

    The message says what was expected, what was found and, where there is one, what to do.
    """


def listing(title: str, lines: list[str], limit: int = 40) -> str:
    """`title`, then one indented line for each of `lines`, at most `limit` of them."""
    shown = [f"  {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  … and {len(lines) - limit} more")
    return "\n".join([title, *shown])
