"""Statistics of alternating runs, because the machine's speed drifts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from plays import Failed

# Number of samples from which a 99th percentile says more than the slowest request.
MANY = 100
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


def ratio(runs: Mapping[str, Sequence[Run]], over: str, under: str) -> float:
    """Return the median of the quotients of the rates of two names in the same round."""
    return statistics.median(one["rate"] / other["rate"] for one, other in zip(runs[over], runs[under], strict=True))


def total_rate(runs: Sequence[Run]) -> float:
    """Return the requests per second of all runs together, which hides no slow run."""
    return sum(run["requests"] for run in runs) / sum(run["seconds"] for run in runs)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of the sorted values that at least this percentage of them does not exceed."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def latencies(runs: Sequence[Run]) -> tuple[float | None, float | None]:
    """Return the median and the 99th percentile of all requests of the runs in milliseconds.

    They are None without a request, and below MANY requests.
    """
    times = sorted(time for run in runs for time in run["microseconds"])
    p50 = percentile(times, 50) / 1000 if times else None
    return p50, percentile(times, 99) / 1000 if len(times) >= MANY else None


def medians(runs: Sequence[Run]) -> dict[str, float | None]:
    """Return the median rate, and the percentiles of all requests in milliseconds."""
    p50, p99 = (None if value is None else round(value, 2) for value in latencies(runs))
    return {"rate": round(statistics.median(run["rate"] for run in runs), 1), "p50": p50, "p99": p99}


def p99(runs: Sequence[Run]) -> float:
    """Return the 99th percentile in milliseconds. Raises Failed below MANY requests."""
    found = latencies(runs)[1]
    if found is None:
        raise Failed(f"The machine is too slow: it sent fewer than {MANY} requests to a pod.")
    return found


def p99_ratio(runs: Mapping[str, Sequence[Run]], over: str, under: str) -> float:
    """Return the quotient of the 99th percentiles of two names."""
    return p99(runs[over]) / p99(runs[under])


def spread(runs: Sequence[Run]) -> float:
    """Return the 99th percentile as a multiple of the median."""
    return p99(runs) / (latencies(runs)[0] or 1.0)


def failures(runs: Mapping[str, Sequence[Run]]) -> dict[str, int]:
    """Return the failed requests of all runs, by problem."""
    found: dict[str, int] = {}
    for run in (run for several in runs.values() for run in several):
        for problem, number in run["failed"].items():
            found[problem] = found.get(problem, 0) + number
    return found
