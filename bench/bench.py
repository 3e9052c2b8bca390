"""Measure the site on the cluster of the given inventory, in separate namespaces.

Arguments select parts. The program prints a table. If all parts were measured, it also writes the figures to
bench/results.json, docs/figures.md, docs/plots, and README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import serving
import sites
from documents import RESULTS, publish
from figures import EMPTY, TABLES, missed, rounded, shown
from ground import Ground
from playbook_runs import REPEATS, Playbooks, Site, Tasks, timed
from plays import Failed, Plays, machine, measured_commit

PARTS = ("playbooks", *serving.PARTS, "sites")
# Parts that create many questions or sites, and therefore run on clusters of this machine only.
LARGE = {"questions", "sites"}
LOCAL = ("kind", "minikube")
# Empty plays without the part `playbooks`.
EMPTY_PLAYS = 3


def measure(inventory: str, parts: Sequence[str]) -> tuple[dict[str, float], dict[str, Any], Tasks]:
    """Return the figures of these parts, their details, and the slowest tasks of a run without changes."""
    with tempfile.TemporaryDirectory() as name:
        site = Site(inventory, Path(name))
        check_cluster(site.plays, parts)
        site.prepare()
        playbooks = Playbooks(site)
        figures, details = playbooks.figures, {}
        if "playbooks" in parts:
            playbooks.deployments()
        else:
            figures[EMPTY] = statistics.median(site.empty() for _ in range(EMPTY_PLAYS))
        if served := [part for part in parts if part in serving.PARTS]:
            if "playbooks" not in parts:
                site.deploy()
            measured, details = serving.measure(Ground(site.plays), served)
            figures |= measured
        if "playbooks" in parts:
            playbooks.removals()
        else:
            site.remove()
        if "sites" in parts:
            measured, details["sites"] = sites.measure(site.plays, timed)
            figures |= measured
    return rounded(figures), details, playbooks.tasks


def check_cluster(plays: Plays, parts: Sequence[str]) -> None:
    """Raise Failed before any change if a part is too large for the cluster of the inventory."""
    provider = plays.variable("cluster_provider")
    if provider not in LOCAL and (large := LARGE.intersection(parts)):
        others = [part for part in PARTS if part not in LARGE]
        raise Failed(
            f"The cluster of the inventory has the provider {provider}. The parts {' and '.join(sorted(large))} create "
            "many questions or sites, so they run on kind and minikube only. No changes were made. Choose other parts: "
            f"make bench PARTS='{' '.join(others)}'"
        )


def store(figures: dict[str, float], details: dict[str, Any], tasks: Tasks, commit: str) -> None:
    """Write the figures of all parts."""
    slow = [{"task": name, "seconds": seconds} for name, seconds in tasks]
    results = {"machine": machine(), "commit": commit, "figures": figures, "slowest_tasks": slow, "details": details}
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    publish()


def main() -> None:
    """Measure and print the figures, and store those of all parts; exit with status 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory")
    parser.add_argument("parts", nargs="*", metavar="part", help="part (default: all)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        sys.exit(f"Unknown part {', '.join(sorted(unknown))}. Choose from {', '.join(PARTS)}.")
    # In the order of a complete run.
    parts = [part for part in PARTS if not given.parts or part in given.parts]
    try:
        commit = measured_commit()
        figures, details, tasks = measure(given.inventory, parts)
    except Failed as failure:
        sys.exit(str(failure))
    if parts == list(PARTS):
        store(figures, details, tasks, commit)
    print("\n".join(shown(figures)))
    for table in (table for name, show in TABLES.items() if (table := show(details.get(name)))):
        print("\n" + "\n".join(table))
    if tasks:
        print(f"\nThe {len(tasks)} slowest tasks of a run without changes, in seconds (median of {REPEATS} runs):")
        print("\n".join(f"{seconds:6.2f}  {name}" for name, seconds in tasks))
    if beyond := missed(figures):
        sys.exit(f"Goals missed: {', '.join(beyond)}.")


if __name__ == "__main__":
    main()
