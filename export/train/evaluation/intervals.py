"""Confidence intervals of shares."""

from __future__ import annotations

import math

NORMAL_95 = 1.959964


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share; (0, 1) if `count` is 0."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    z = NORMAL_95
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def percent(hits: int, count: int) -> str:
    """Formats a share with its interval in percent: "92 % (88–95, 230 of 250)"."""
    low, high = wilson(hits, count)
    return f"{100 * hits / max(1, count):.0f} % ({100 * low:.0f}–{100 * high:.0f}, {hits} of {count})"
