"""Part `sites` of `make bench`: runs with nothing to change for several sites of one inventory on one cluster."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ground import Ground, eventually
from plays import Failed, Plays, empty_play, say, unchanged

NUMBERS = (1, 3, 10)
ROUNDS = 3
NAMESPACE = "cloud-django-bench-site"
# Ports that no site has by default.
FIRST_PORT = 31_700
# Variables that follow from the directory of the inventory, or that all sites share.
SHARED = (
    "cluster_name",
    "cluster_state_directory",
    "cluster_kubeconfig",
    "cluster_context",
    "image_context",
    "app_name",
    "app_image_repository",
)
REQUESTS = {"cpu": "1m", "memory": "16Mi"}
# As small as possible, so that ten sites fit on a node of two CPUs. They have the same roles and tasks as others.
SMALL: dict[str, Any] = {
    "app_public_url": "",
    "web_replicas": 1,
    "web_resources": {"requests": REQUESTS, "limits": {"cpu": "1", "memory": "512Mi"}},
    "web_front_resources": {"requests": REQUESTS, "limits": {"cpu": "1", "memory": "384Mi"}},
    "postgresql_resources": {"requests": REQUESTS, "limits": {"memory": "512Mi"}},
    "postgresql_storage_size": "1Gi",
    "cache_resources": {"requests": REQUESTS, "limits": {"memory": "64Mi"}},
}
OURS = {"app.kubernetes.io/managed-by": "cloud-django"}


def host(number: int) -> str:
    return f"bench-site-{number}"


def namespace(number: int) -> str:
    return f"{NAMESPACE}-{number}"


def inventory() -> dict[str, Any]:
    """Return an inventory with a host for each site, in the group of all plays."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {
        host(number): local | {"app_namespace": namespace(number), "web_node_port": FIRST_PORT + number}
        for number in range(1, max(NUMBERS) + 1)
    }
    return {"cloud_django": {"hosts": hosts}}


def limit(number: int) -> str:
    """Return the option of ansible-playbook that selects the first sites."""
    return f"--limit={','.join(host(one) for one in range(1, number + 1))}"


def plays_of(base: Plays, folder: Path) -> Plays:
    """Return the playbooks for the inventory of `base` with the hosts of the sites."""
    file = folder / "sites.yml"
    # JSON is also YAML.
    file.write_text(json.dumps(inventory()), encoding="utf-8")
    inventories = [option.partition("=")[2] for option in base.inventories]
    shared = base.variables_of(SHARED)
    return Plays([*inventories, str(file)], shared | SMALL, base.environment, base.project)


def remove(ground: Ground) -> None:
    """Delete the namespaces of the sites, which is faster than a teardown of each. Raises Failed for another one."""
    names = [namespace(number) for number in range(1, max(NUMBERS) + 1)]
    found = [one for name in names if (one := ground.cluster.get("Namespace", name))]
    for one in found:
        if (one["metadata"].get("labels") or {}).items() >= OURS.items():
            ground.cluster.delete("Namespace", one["metadata"]["name"])
        else:
            raise Failed(f"Namespace {one['metadata']['name']} exists, but this collection did not create it.")
    eventually(
        lambda: not any(ground.cluster.get("Namespace", name) for name in names), 300, "the removal of the sites"
    )


def reruns(plays: Plays, nothing: Path, timed: Callable[[Callable[[], Any]], float]) -> dict[str, dict[str, float]]:
    """Run site.yml repeatedly without changes for 1, 3, and 10 sites, each after an empty play for the same hosts."""
    seconds: dict[int, list[float]] = {number: [] for number in NUMBERS}
    ratios: dict[int, list[float]] = {number: [] for number in NUMBERS}
    for turn in range(ROUNDS):
        for number in NUMBERS:
            say(f"Deploying {number} sites again, {turn + 1} of {ROUNDS}")
            selected = limit(number)
            empty = timed(partial(plays, nothing, selected))
            seconds[number].append(timed(partial(unchanged, plays, selected)))
            ratios[number].append(seconds[number][-1] / empty)
    return {
        str(number): {
            "seconds": round(statistics.median(seconds[number]), 2),
            "ratio": round(statistics.median(ratios[number]), 2),
        }
        for number in NUMBERS
    }


def figures(details: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures of the table of goals."""
    found = {f"sites_{number}_rerun_seconds": row["seconds"] for number, row in details.items()}
    most = str(max(NUMBERS))
    return found | {f"sites_{most}_rerun_ratio": details[most]["ratio"]}


def measure(base: Plays, timed: Callable[[Callable[[], Any]], float]) -> tuple[dict[str, float], dict[str, Any]]:
    """Deploy ten sites, measure runs without changes, and remove the sites."""
    ground = Ground(base)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plays = plays_of(base, folder)
        remove(ground)
        try:
            say(f"Deploying {max(NUMBERS)} small sites")
            plays("site", limit(max(NUMBERS)))
            details = reruns(plays, empty_play(folder), timed)
        finally:
            say("Removing the sites")
            remove(ground)
    return figures(details), details
