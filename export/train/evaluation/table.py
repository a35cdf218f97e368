"""Tables of results: shares of successes with their intervals."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from .intervals import percent


class Tally:
    """Counts of successes, by group."""

    def __init__(self):
        self._hits: dict[str, list[bool]] = defaultdict(list)

    def add(self, group: str, hit: bool) -> None:
        self._hits[group].append(bool(hit))

    @property
    def _every(self) -> list[bool]:
        return [hit for hits in self._hits.values() for hit in hits]

    @property
    def share(self) -> float:
        """The share of successes; NaN without tries."""
        return float(np.mean(self._every)) if self._every else float("nan")

    def __str__(self) -> str:
        return percent(sum(self._every), len(self._every))

    @property
    def groups(self) -> str:
        """The successes and tries of every group."""
        return ", ".join(f"{group} {sum(hits)}/{len(hits)}" for group, hits in sorted(self._hits.items()))


class Row(NamedTuple):
    """A line of the table."""

    measure: str
    result: object  # printed with str()
    note: str = ""

    @classmethod
    def of(cls, measure: str, tally: Tally) -> Row:
        return cls(measure, tally, tally.groups)

    def __str__(self) -> str:
        return f"- {self.measure}: {self.result}" + (f" ({self.note})" if self.note else "")

    @property
    def markdown(self) -> str:
        return f"| {self.measure} | {self.result}" + (f"<br>{self.note}" if self.note else "") + " |"
