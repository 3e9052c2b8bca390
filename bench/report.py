"""Results of the parts of `make bench`: each part is printed and stored as soon as it is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import documents
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from figures import FIGURES, TABLES, missed, rounded, shown
from plays import Failed

# Reasons why a part fails, while the next ones go on.
EXPECTED = (Failed, CloudDjangoError, OSError, subprocess.SubprocessError)
# Name and seconds of each task of a run.
type Tasks = list[tuple[str, float]]


@dataclass
class Result:
    """Figures of a part, the rows of its table, and the slowest tasks of a run without changes."""

    figures: dict[str, float] = field(default_factory=dict)
    details: Any = None
    tasks: Sequence[tuple[str, float]] = ()


class Report:
    """Parts of this run."""

    def __init__(self, commit: str) -> None:
        self.commit = commit
        self.figures: dict[str, float] = {}
        self.failed: list[str] = []

    def attempt(self, part: str, do: Callable[[], Result]) -> bool:
        """Measure, print, and store a part; return whether it succeeded. The reason of a failure is printed."""
        try:
            result = do()
        except EXPECTED as failure:
            self.failed.append(part)
            print(f"Part {part} failed: {failure}", file=sys.stderr, flush=True)
            return False
        self.figures |= result.figures
        if result.figures:
            # First, so that no error of a file hides the figures.
            print("\n".join(lines(part, result)), flush=True)
            store(part, result, self.commit)
            documents.publish()
        return True

    def problems(self) -> list[str]:
        """Return what failed in this run, and which goals it missed, as sentences."""
        found = [f"Parts failed: {', '.join(self.failed)}."] if self.failed else []
        # Before the figures are rounded.
        beyond = missed(self.figures)
        return found + ([f"Goals missed: {', '.join(beyond)}."] if beyond else [])


def lines(part: str, result: Result) -> list[str]:
    """Return the lines that show a part."""
    found = ["", *shown(rounded(result.figures))]
    if part in TABLES and (table := TABLES[part](result.details)):
        found += ["", *table]
    if result.tasks:
        found += ["", "The slowest tasks of a run without changes, in seconds (medians):"]
        found += [f"{seconds:6.2f}  {name}" for name, seconds in result.tasks]
    return found


def store(part: str, result: Result, commit: str) -> None:
    """Store a part with the parts that were measured on the same machine."""
    kept = documents.stored(documents.RESULTS, {"commits": {}, "figures": {}, "slowest_tasks": [], "details": {}})
    kept["commits"][part] = commit
    known = {name: value for name, value in kept["figures"].items() if name in FIGURES}
    kept["figures"] = rounded(known | result.figures)
    if result.tasks:
        kept["slowest_tasks"] = [{"task": name, "seconds": seconds} for name, seconds in result.tasks]
    if result.details:
        kept["details"][part] = result.details
    documents.write(documents.RESULTS, kept)
