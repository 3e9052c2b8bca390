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
from report import Result

NUMBERS = (1, 3, 10)
ROUNDS = 2
# Pairs of runs without and with a worker and a schedule, and the site that has both. Another site has neither.
PAIRS = 5
SITE_WITH_PROCESSES = 2
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
# Seconds to wait for parts of sites that start at the same time.
PATIENCE = 300
REQUESTS = {"cpu": "1m", "memory": "16Mi"}
# As small as possible, so that ten sites fit on a node of two CPUs. They have the same roles and tasks as others.
SMALL: dict[str, Any] = {
    "app_public_url": "",
    "web_replicas": 1,
    "web_resources": {"requests": REQUESTS, "limits": {"cpu": "1", "memory": "512Mi"}},
    "web_front_resources": {"requests": REQUESTS, "limits": {"cpu": "1", "memory": "384Mi"}},
    "postgresql_resources": {"requests": REQUESTS, "limits": {"memory": "512Mi"}},
    "postgresql_storage_size": "1Gi",
    "postgresql_storage_timeout": PATIENCE,
    "superuser_timeout": PATIENCE,
    "cache_timeout": PATIENCE,
    "cache_resources": {"requests": REQUESTS, "limits": {"memory": "64Mi"}},
}
# They do nothing, so that they take no processor time from the measurement.
PROCESSES: dict[str, Any] = {
    "processes_workers": {
        "worker": {
            "command": ["python", "-c", "import signal; signal.pause()"],
            "resources": {"requests": REQUESTS, "limits": {"cpu": "1", "memory": "128Mi"}},
            "stop_seconds": 1,
        }
    },
    "processes_schedules": {"schedule": {"schedule": "0 0 1 1 *", "command": ["manage", "check"], "suspended": True}},
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


def limit(first: int, last: int) -> str:
    """Return the option of ansible-playbook that selects sites."""
    return f"--limit={','.join(host(one) for one in range(first, last + 1))}"


def plays_of(base: Plays, folder: Path) -> Plays:
    """Return the playbooks for the inventory of `base` with the hosts of the sites."""
    file = folder / "sites.yml"
    # JSON is also YAML.
    file.write_text(json.dumps(inventory()), encoding="utf-8")
    inventories = [option.partition("=")[2] for option in base.inventories]
    shared = base.variables_of(SHARED)
    return Plays([*inventories, str(file)], shared | SMALL, base.environment, base.project)


def remove(ground: Ground, first: int = 1) -> None:
    """Delete the namespaces of the sites from a number, which is faster than a teardown of each.

    Raises Failed for a namespace of another owner.
    """
    names = [namespace(number) for number in range(first, max(NUMBERS) + 1)]
    found = [one for name in names if (one := ground.cluster.get("Namespace", name))]
    for one in found:
        if (one["metadata"].get("labels") or {}).items() >= OURS.items():
            ground.cluster.delete("Namespace", one["metadata"]["name"])
        else:
            raise Failed(f"Namespace {one['metadata']['name']} exists, but this collection did not create it.")
    eventually(
        lambda: not any(ground.cluster.get("Namespace", name) for name in names), 300, "the removal of the sites"
    )


def rerun(plays: Plays, nothing: Path, timed: Callable[[Callable[[], Any]], float], number: int) -> dict[str, float]:
    """Run site.yml repeatedly without changes for the first sites, each time after an empty play for the same hosts."""
    selected = limit(1, number)
    seconds: list[float] = []
    ratios: list[float] = []
    for turn in range(ROUNDS):
        say(f"Deploying {number} of {max(NUMBERS)} sites again, {turn + 1} of {ROUNDS}")
        empty = timed(partial(plays, nothing, selected))
        seconds.append(timed(partial(unchanged, plays, selected)))
        ratios.append(seconds[-1] / empty)
    return {"seconds": round(statistics.median(seconds), 2), "ratio": round(statistics.median(ratios), 2)}


def deploy_and_rerun(
    plays: Plays, nothing: Path, timed: Callable[[Callable[[], Any]], float]
) -> dict[str, dict[str, float]]:
    """Deploy 1, 3, and 10 sites, and measure each number of them before there are more.

    The first site alone builds and loads the image, which the others share.
    """
    details = {}
    deployed = 0
    for number in NUMBERS:
        say(f"Deploying small sites, {number} of {max(NUMBERS)}")
        plays("site", limit(deployed + 1, number))
        deployed = number
        details[str(number)] = rerun(plays, nothing, timed, number)
    return details


def compare_processes(
    plays: Plays, nothing: Path, timed: Callable[[Callable[[], Any]], float]
) -> dict[str, dict[str, float]]:
    """Measure how much longer a run without changes takes with a worker and a schedule, in turns with one without."""
    say("Deploying a worker and a schedule")
    without, selected = limit(1, 1), limit(SITE_WITH_PROCESSES, SITE_WITH_PROCESSES)
    plays("site", selected, **PROCESSES)
    differences: list[float] = []
    ratios: list[float] = []
    for turn in range(PAIRS):
        say(f"Deploying a site without and with them again, {turn + 1} of {PAIRS}")
        empty = timed(partial(plays, nothing, without))
        runs = [partial(unchanged, plays, without), partial(unchanged, plays, selected, **PROCESSES)]
        # The second run of a pair is faster, because files are in memory.
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        seconds = {number: timed(runs[number]) for number in order}
        differences.append(seconds[1] - seconds[0])
        ratios.append(differences[-1] / empty)
    return {
        "processes": {
            "seconds": round(statistics.median(differences), 2),
            "ratio": round(statistics.median(ratios), 2),
        }
    }


def figures(details: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures of the table of goals."""
    names = {number: number if number == "processes" else f"sites_{number}" for number in details}
    return {f"{names[number]}_rerun_{key}": value for number, row in details.items() for key, value in row.items()}


def measure(base: Plays, timed: Callable[[Callable[[], Any]], float]) -> Result:
    """Measure runs without changes for several sites, and remove the sites. Their image stays."""
    ground = Ground(base)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plays = plays_of(base, folder)
        remove(ground)
        try:
            nothing = empty_play(folder)
            details = deploy_and_rerun(plays, nothing, timed)
            remove(ground, SITE_WITH_PROCESSES + 1)
            details |= compare_processes(plays, nothing, timed)
        finally:
            say("Removing the sites")
            remove(ground)
    return Result(figures(details), details)
