"""Rows of `make prove`: requests and votes of visitors during a scenario, and the table of all rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VISIT = 6  # Requests per visitor.
RATE = 140.0  # Requests per second of all visitors together.


@dataclass
class Row:
    """Result of a scenario: requests and votes during an action on the site."""

    name: str
    requests: int
    failed: int
    # Failed requests that are allowed, because no pod could have answered them.
    failures_expected: int
    votes_acknowledged: int
    votes_found: int
    seconds: float
    # Votes without a successful response, which may or may not have been counted.
    votes_in_doubt: int = 0
    # Outcomes of failed requests and their numbers, and other problems.
    outcomes: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    note: str = ""
    # Requests per second that were sent.
    rate: float = RATE
    # Measured commit.
    commit: str = ""

    @property
    def wrong(self) -> list[str]:
        """Return the goals that the scenario misses, as messages."""
        wrong = list(self.problems)
        if self.failed > self.failures_expected:
            wrong.append(f"{self.failed} requests failed, {self.failures_expected} are allowed: {self.outcomes}")
        if self.votes_found < self.votes_acknowledged:
            wrong.append(f"{self.votes_acknowledged - self.votes_found} acknowledged votes are lost")
        if self.votes_found > self.votes_acknowledged + self.votes_in_doubt:
            wrong.append(
                f"{self.votes_found - self.votes_acknowledged - self.votes_in_doubt} unexpected votes were found"
            )
        return wrong


@dataclass
class Load:
    """Visitors, and the requests that they recorded."""

    rate: float
    votes_before: int
    started: float
    requests: list[dict[str, Any]] = field(default_factory=list)
    # Time when the last visitor started, and when the last one finished.
    closed: float = 0.0
    ended: float = 0.0
    votes_after: int = 0
    # Output files of the visitors, with a line per request.
    outputs: list[Path] = field(default_factory=list)

    def made(self) -> int:
        """Return the number of requests so far."""
        return sum(output.read_bytes().count(b"\n") for output in self.outputs)

    def failed(self) -> bool:
        """Return whether a request has failed so far."""
        lines = [line for output in self.outputs for line in output.read_bytes().splitlines(keepends=True)]
        return any(json.loads(line)["outcome"] != "ok" for line in lines if line.endswith(b"\n"))

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["outcome"] != "ok"]

    def in_flight(self, when: float) -> int:
        """Return the number of active requests at a moment."""
        return sum(request["started"] <= when < request["ended"] for request in self.requests)

    def last_failure(self, since: float, until: float = float("inf")) -> float:
        """Return the seconds from a moment to the end of the last failed request that started in the period, or 0."""
        ends = [failure["ended"] for failure in self.failures if since <= failure["started"] < until]
        return max(ends, default=since) - since

    def row(self, name: str, expected: int = 0, problems: Sequence[str] = (), note: str = "") -> Row:
        votes = [request for request in self.requests if request["is_vote"]]
        acknowledged = sum(vote["outcome"] == "ok" for vote in votes)
        seconds = self.ended - self.started
        problems = list(problems)
        # Each visitor starts here, independent of how long earlier visitors wait.
        visits = [request for request in self.requests if request["path"] == "/"]
        open_for = self.closed - min((visit["started"] for visit in visits), default=self.started)
        if len(visits) < 0.9 * self.rate / VISIT * (open_for - 2):
            problems.append(f"only {len(visits)} visitors started in {open_for:.0f} s")
        # A visitor that gets the list, the form, and a response has voted.
        if len(votes) < 0.8 * sum(visit["outcome"] == "ok" for visit in visits) - self.rate:
            problems.append(f"only {len(votes)} of {len(visits)} visitors tried to vote")
        return Row(
            name,
            len(self.requests),
            len(self.failures),
            expected,
            acknowledged,
            self.votes_after - self.votes_before,
            round(seconds, 1),
            len(votes) - acknowledged,
            dict(Counter(failure["outcome"] for failure in self.failures)),
            problems,
            note,
            self.rate,
        )


def loaded(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows that are stored in bench/prove.json."""
    return [Row(**{name: value for name, value in entry.items() if name != "kind"}) for entry in entries]


def shown(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    lines = [
        "| Scenario | Requests | Failed | Votes acknowledged | Found | Seconds | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        failed = f"{row.failed}, expected" if row.failed and row.failed <= row.failures_expected else f"{row.failed}"
        rate = f"at {row.rate:g} requests per second" if row.rate != RATE else ""
        note = "; ".join([*(text for text in (row.note, rate) if text), *(f"**{problem}**" for problem in row.wrong)])
        votes = f"{row.votes_acknowledged} | {row.votes_found}"
        lines.append(f"| {row.name} | {row.requests} | {failed} | {votes} | {row.seconds:.0f} | {note} |")
    return lines
