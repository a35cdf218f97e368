"""The results: a Markdown table and JSON."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Result:
    """The times of a contestant for one work, in milliseconds: the median of each round."""

    work: str
    contestant: str
    times: list[float] = field(default_factory=list)

    @property
    def median(self):
        return statistics.median(self.times)


class Results:
    """All results, in the order in which they were first measured."""

    def __init__(self):
        self.all = {}

    def add(self, contestant, times):
        """Adds a round of `contestant`; `times` are keyed by the name of the work."""
        for work, time in times.items():
            self.all.setdefault((work, contestant), Result(work, contestant)).times.append(time)

    def ratios(self, result, ours):
        """Returns its time relative to each of `ours` for the same work; PyTorch's variants of a step are the same work."""
        works = {result.work, result.work.rpartition(", ")[0]}
        same = {name: next((r for r in self.all.values() if r.contestant == name and r.work in works), None) for name in ours}
        return {name: result.median / own.median for name, own in same.items() if own}


def table(results, ours):
    """Formats the results as Markdown, with the ratio to each of `ours`."""
    head = ["", "", "median, ms", "range", *(f"× {name}" for name in ours)]
    rows = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    last = None
    for result in sorted(results.all.values(), key=lambda result: order(results, result.work)):
        ratios = results.ratios(result, ours)
        spread = f"{number(min(result.times))} – {number(max(result.times))}"
        shown = [f"{ratios[name]:.2f}" if name in ratios else "" for name in ours]
        rows.append([result.work if result.work != last else "", result.contestant, number(result.median), spread, *shown])
        last = result.work
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def order(results, work):
    return [key[0] for key in results.all].index(work)


def number(value):
    """Formats milliseconds with at least three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_json(results, ours, settings, versions, bench, failures):
    """Returns the results as an object. `bench` has the reports of `ualm bench` of the first round, by contestant and part."""
    reports = [report for parts in bench.values() for report in parts.values()]
    figures = {
        (name, figure["name"]): figure
        for name, parts in bench.items()
        for report in parts.values()
        for figure in report["figures"]
    }

    def entry(result):
        limit = figures.get((result.contestant, result.work), {})
        return {
            "work": result.work,
            "contestant": result.contestant,
            "median": result.median,
            "least": min(result.times),
            "most": max(result.times),
            "rounds": result.times,
            "ratios": results.ratios(result, ours),
            **{key: limit[key] for key in ("limit", "limit_by") if key in limit},
        }

    return {
        "processor": next((report["processor"] for report in reports if "processor" in report), None),
        "speed": next((report["speed"] for report in reports if "speed" in report), None),
        **settings,
        "unit": "ms",
        "versions": versions,
        "results": [entry(result) for result in results.all.values()],
        "failures": failures,
    }
