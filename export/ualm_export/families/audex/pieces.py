"""Text with names of added tokens, as the pieces of a template: ids and strings."""

import re
from collections.abc import Mapping

Pieces = list[int | str]


class PieceWriter:
    """Splits texts at the names of added tokens; the longest name takes precedence, as in the tokenizers library."""

    def __init__(self, ids: Mapping[str, int]):
        names = sorted(filter(None, ids), key=len, reverse=True)
        self._ids = ids
        self._names = re.compile("(" + ("|".join(map(re.escape, names)) or r"(?!)") + ")")

    def pieces(self, text: str) -> Pieces:
        """Converts names to ids; the text between them stays text."""
        parts = self._names.split(text)
        return [self._ids[part] if i % 2 else part for i, part in enumerate(parts) if part]
