"""Measure the site on the cluster of the given inventory, in separate namespaces.

Arguments select parts. After each part, the program prints its table, and writes its figures to bench/results.json,
docs/figures.md, docs/plots, and README.md. The figures of the other parts stay as they are.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import serving
import sites
import without_cache
from figures import EMPTY
from ground import Ground
from playbook_runs import Playbooks, Site, timed
from plays import Failed, Plays, ended, measured_commit, say
from report import EXPECTED, Report, Result

PARTS = ("playbooks", *serving.PARTS, "sites")
# Parts that create many questions or sites, and therefore run on clusters of this machine only.
LARGE = {"questions", "sites"}
LOCAL = ("kind", "minikube")
# Empty plays without the part `playbooks`.
EMPTY_PLAYS = 3


def measure(inventory: str, parts: Sequence[str], report: Report) -> None:
    """Measure these parts in the order of a complete run. Nothing of the measurement is left afterwards."""
    with tempfile.TemporaryDirectory() as name:
        site = Site(inventory, Path(name))
        check_cluster(site.plays, parts)
        site.prepare()
        try:
            measure_parts(site, parts, report)
        finally:
            say("Removing the site and its image")
            site.remove()


def measure_parts(site: Site, parts: Sequence[str], report: Report) -> None:
    """Measure these parts on a cluster without a site. The parts about serving use the site of the first one."""
    playbooks = Playbooks(site)
    is_deployed = "playbooks" in parts and report.attempt("playbooks", playbooks.deployments)
    if "playbooks" not in parts:
        # Not stored, because it belongs to no run of this part.
        report.figures[EMPTY] = statistics.median(site.empty() for _ in range(EMPTY_PLAYS))
    if served := [part for part in parts if part in serving.PARTS]:

        def serve() -> Result:
            if not is_deployed:
                site.deploy()
            serving.measure(Ground(site.plays), served, report.attempt)
            return Result()

        report.attempt(f"setup of {', '.join(served)}", serve)
    is_removed = is_deployed and report.attempt("playbooks", playbooks.removals)
    if "sites" in parts:

        def several() -> Result:
            if not is_removed and len(parts) > 1:
                site.remove()
            return sites.measure(site.plays, timed)

        report.attempt("sites", several)


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
    if "cache" in parts:
        without_cache.check_cache(plays)


def main() -> None:
    """Measure, print, and store the figures; exit with status 1 if a part fails or a figure misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory")
    parser.add_argument("parts", nargs="*", metavar="part", help="part (default: all)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        sys.exit(f"Unknown part {', '.join(sorted(unknown))}. Choose from {', '.join(PARTS)}.")
    # In the order of a complete run.
    parts = [part for part in PARTS if not given.parts or part in given.parts]
    signal.signal(signal.SIGTERM, ended)
    try:
        report = Report(measured_commit())
        measure(given.inventory, parts, report)
    except EXPECTED as failure:
        sys.exit(str(failure))
    if problems := report.problems():
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
