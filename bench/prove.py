"""Prove that the site loses no request and no vote during rollouts, failures, and other events.

In each scenario, visitors send requests at a fixed rate and never retry. The program prints a table row per scenario
and writes it to bench/prove.json, docs/figures.md, and README.md. Arguments select scenarios; the rows of the others
are kept.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from cache_failures import cache_failures
from documents import publish, stored, write
from failures import database_killed, gunicorn_killed, kills, kills_behind_gateway, node_restarted
from ground import REPLICAS, Ground
from interrupted import controllers_killed, two_at_once
from planned import autoscaling, broken_releases, drain, endurance, evictions, forms, rollouts, scaling
from plays import PROJECT, Failed, Plays, ended, measured_commit, say
from rows import RATE, Row, loaded, shown
from upgrade import commit_before, upgrade

RESULTS = PROJECT / "bench" / "prove.json"

ROWS: dict[str, Callable[[Ground], Row]] = {
    # Together with the other scenarios without allowed failures, these are 100,000 requests on any machine.
    "rollouts": lambda ground: rollouts(ground, requests=65_000),
    "affinity": lambda ground: rollouts(ground, 10, 25_000, places=4),
    "scaling": scaling,
    "autoscaling": autoscaling,
    "gunicorn": gunicorn_killed,
    "kills": kills,
    "gateway": kills_behind_gateway,
    "forms": forms,
    "evictions": evictions,
    "releases": broken_releases,
    "database": database_killed,
    "cache": cache_failures,
    "node": node_restarted,
    "endurance": endurance,
    "controllers": controllers_killed,
    "two": two_at_once,
    "upgrade": upgrade,
}
# Scenarios that need several nodes.
ROWS_OF_NODES: dict[str, Callable[[Ground], Row]] = {"drain": drain}


@contextmanager
def ground_of(inventory: str, name: str, rate: float = RATE, **variables: Any) -> Iterator[Ground]:
    """Yield a site on a separate cluster, which is removed at the end; `rate` is in requests per second.

    Raises Failed before any change if the inventory leads to another cluster.
    """
    cluster = f"cloud-django-{name}"
    plays = Plays([inventory], {"cluster_name": cluster, "app_public_url": ""} | variables)
    values = {key: plays.variable(f"cluster_{key}") for key in ("provider", "kubeconfig", "context")}
    if values["provider"] == "existing" or any(cluster not in values[key] for key in ("kubeconfig", "context")):
        raise Failed(
            f"Inventory {inventory} leads to context {values['context']} instead of a separate cluster. "
            "The test would break and remove that cluster. Choose an inventory whose provider is kind or minikube."
        )
    ground = Ground(plays, rate)
    say(f"Deploying to cluster {cluster}")
    try:
        ground.deploy()
        yield ground
    finally:
        plays.end()
        plays("teardown", teardown_data="purge", teardown_cluster=True)


def prove(
    inventory: str, names: Sequence[str], rate: float = RATE, upgrade_from: str = ""
) -> Iterator[tuple[str, Row]]:
    """Run the selected scenarios, by default all; yield the name and the row of each."""
    for kinds, name, variables in ((ROWS, "prove", {}), (ROWS_OF_NODES, "prove-nodes", {"cluster_workers": 2})):
        wanted = [kind for kind in kinds if not names or kind in names]
        if not wanted:
            continue
        with ground_of(inventory, name, rate, **variables) as ground:
            ground.upgrade_from = upgrade_from
            for kind in wanted:
                say(f"Scenario {kind}")
                # Reset the changes of the previous scenario.
                ground.deploy()
                ground.wait_until_whole(REPLICAS)
                ground.wait_for_old_pods()
                yield kind, kinds[kind](ground)


def store(kind: str, row: Row) -> list[Row]:
    """Store a row with the rows that were measured on the same machine; return all of them."""
    kept = stored(RESULTS, {"rows": []})
    found = {entry["kind"]: entry for entry in kept["rows"]} | {kind: {"kind": kind} | asdict(row)}
    kept["rows"] = [found[name] for name in [*ROWS, *ROWS_OF_NODES] if name in found]
    write(RESULTS, kept)
    return loaded(kept["rows"])


def main() -> None:
    """Run the scenarios, print and store the rows; exit with status 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory")
    parser.add_argument("rows", nargs="*", metavar="row", help="scenario (default: all)")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second (default: %(default)g)")
    parser.add_argument(
        "--upgrade-from",
        default=os.environ.get("UPGRADE_FROM", ""),
        metavar="commit",
        help="commit to upgrade from in the scenario `upgrade` (default: that of the last figures)",
    )
    given = parser.parse_args()
    if not 1 <= given.rate <= 1000:
        sys.exit(f"The rate {given.rate:g} is invalid. Set it to a number from 1 to 1000.")
    unknown = set(given.rows) - ROWS.keys() - ROWS_OF_NODES.keys()
    if unknown:
        sys.exit(f"Unknown scenario {', '.join(sorted(unknown))}. Choose from {', '.join([*ROWS, *ROWS_OF_NODES])}.")
    signal.signal(signal.SIGTERM, ended)
    wrong = []
    try:
        commit = measured_commit()
        # Before the first scenario, so that an unknown commit does not fail a long run.
        upgrade_from = commit_before(given.upgrade_from) if not given.rows or "upgrade" in given.rows else ""
        for kind, row in prove(given.inventory, given.rows, given.rate, upgrade_from):
            row.commit = commit
            store(kind, row)
            publish()
            print("\n".join(shown([row])[2:]), flush=True)
            wrong += [row.name] if row.wrong else []
    except Failed as failure:
        sys.exit(str(failure))
    if wrong:
        sys.exit(f"Goals missed: {', '.join(wrong)}.")


if __name__ == "__main__":
    main()
