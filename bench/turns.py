"""Statistics of alternating runs, because the machine's speed drifts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Result of a run of the generator.
type Run = dict[str, Any]
# Results of each round, by the name of what was measured.
type Runs = dict[str, list[Run]]


def turns(names: Sequence[str], rounds: int) -> list[str]:
    """Return the names in turns. Each round starts with the next name, so that none is always measured first."""
    return [names[(first + place) % len(names)] for first in range(rounds) for place in range(len(names))]


def by_name(order: Sequence[str], results: Sequence[Run]) -> Runs:
    """Return the results by name, in the order of the rounds."""
    found: Runs = {}
    for name, result in zip(order, results, strict=True):
        found.setdefault(name, []).append(result)
    return found


def ratio(runs: Mapping[str, Sequence[Run]], over: str, under: str, key: str = "rate") -> float:
    """Return the median of the quotients of two names in the same round."""
    return statistics.median(one[key] / other[key] for one, other in zip(runs[over], runs[under], strict=True))


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """Return the median rate, and the medians of the percentiles in milliseconds."""
    return {
        "rate": round(statistics.median(run["rate"] for run in runs), 1),
        "p50": round(1000 * statistics.median(run["p50"] for run in runs), 2),
        "p99": round(1000 * statistics.median(run["p99"] for run in runs), 2),
    }


def spread(runs: Sequence[Run]) -> float:
    """Return the median of the 99th percentile as a multiple of the median, of each run."""
    return statistics.median(run["p99"] / run["p50"] for run in runs)


def failures(runs: Mapping[str, Sequence[Run]]) -> dict[str, int]:
    """Return the failed requests of all runs, by problem."""
    found: dict[str, int] = {}
    for run in (run for several in runs.values() for run in several):
        for problem, number in run["failed"].items():
            found[problem] = found.get(problem, 0) + number
    return found
