"""Scenarios of `make prove` without warning: processes, pods, the database, and the node are killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import running_containers
from beside import gateway_before
from ground import DATABASE, REPLICAS, Ground, docker, eventually
from plays import Failed
from rows import Load, Row

# Seconds until the site has recovered after the database or the node is back.
BACK = 15.0
# Seconds by which the reported time of a kill may be too early. A node reports it in hundredths of a second, and its
# kernel accepts connections for a killed process until it has cleaned up.
MOMENT = 0.1
# The same for whole pods, whose processes the kernel stops one after the other.
POD_MOMENT = 1.0


def gunicorn_killed(ground: Ground, pods: int = REPLICAS) -> Row:
    """Kill all processes of gunicorn in each pod in turn, like the kernel does when memory runs out.

    The front of the pod responds meanwhile. Only active requests that must not be repeated may fail.
    """
    ground.replace_killed_pods()
    fronts = ground.front_restarts()
    moments = []
    with ground.load() as load:
        for pod in [pod["metadata"]["name"] for pod in ground.pods()][:pods]:
            moments.append(killed(ground, [pod], ["web"]))
            time.sleep(3)
    problems = broken_connections(load)
    if ground.front_restarts() != fronts:
        problems.append("a front was restarted")
    slowest = max((request["ended"] - request["started"] for request in load.requests), default=0)
    note = f"the slowest request took {slowest:.1f} s"
    return load.row("gunicorn killed in one pod after the other", unrepeatable(load, moments), problems, note)


def killed(ground: Ground, pods: Sequence[str], containers: Sequence[str] = ()) -> float:
    """Kill all processes of these pods or of their given containers; return the time after they are ready again."""
    before = ground.restarts()
    expected = len(containers or running_containers(ground.template()["spec"]))
    moment = ground.kill(*pods, containers=containers)

    def restarted() -> bool:
        now = ground.restarts()
        return all(now.get(pod, 0) >= before[pod] + expected for pod in pods)

    eventually(lambda: restarted() and ground.ready() == len(before), 300, "the pods that were killed")
    return moment


def unrepeatable(load: Load, moments: Sequence[float], early: float = MOMENT) -> int:
    """Return how many votes failed that were active at one of these moments, because a vote must not be repeated."""
    return sum(
        failure["is_vote"] and any(failure["started"] - early <= moment < failure["ended"] for moment in moments)
        for failure in load.failures
    )


def broken_connections(load: Load) -> list[str]:
    """Return a message if requests failed without the page of the front: refused, reset, or without an end."""
    outcomes = Counter(failure["outcome"] for failure in load.failures if failure["outcome"] != "unavailable")
    return [f"not the page of the front: {dict(outcomes)}"] if outcomes else []


def pods_killed(ground: Ground, each: bool, address: str = "") -> tuple[Load, list[float]]:
    """Kill all processes of each pod in turn, then of all but one; return the load and the times."""
    moments = []
    with ground.load(address=address) as load:
        pods = [pod["metadata"]["name"] for pod in ground.pods()]
        for victims in [[pod] for pod in (pods if each else pods[:1])] + [pods[1:]]:
            moments.append(killed(ground, victims))
            time.sleep(3)
    return load, moments


def whole_again(load: Load, moments: Sequence[float]) -> list[float]:
    """Return the seconds from each kill to the last failed request before the next kill."""
    ends = [*moments[1:], float("inf")]
    return [load.last_failure(moment, end) for moment, end in zip(moments, ends, strict=True)]


def kills(ground: Ground, each: bool = True) -> Row:
    """Kill whole pods. No part of a dead pod can respond, so requests may fail, but no vote may be lost."""
    ground.replace_killed_pods()
    load, moments = pods_killed(ground, each)
    expected = sum(failure["ended"] >= moments[0] for failure in load.failures)
    in_flight = sum(load.in_flight(moment) for moment in moments)
    seconds = ", ".join(f"{whole:.1f}" for whole in whole_again(load, moments))
    note = f"{in_flight} in flight at the kills; whole after {seconds} s"
    return load.row("Pods killed one by one, then all but one", expected, note=note)


def kills_behind_gateway(ground: Ground, each: bool = True) -> Row:
    """Kill whole pods behind a gateway that tries the next pod. No GET may fail."""
    ground.replace_killed_pods()
    with gateway_before(ground) as address:
        load, moments = pods_killed(ground, each, address)
    gets = sum(not failure["is_vote"] for failure in load.failures)
    expected = unrepeatable(load, moments, POD_MOMENT)
    return load.row("The same behind a gateway that tries the next pod", expected, note=f"{gets} failed GETs")


def database_killed(ground: Ground, seconds: float = 20) -> Row:
    """Kill all processes of the database, then stop it for a while. The site shows the outage page and recovers."""
    restarts = ground.restarts()
    name = f"{ground.app}-postgresql"
    backs: list[tuple[float, float]] = []
    with ground.load() as load:
        before = sum(ground.restarts(DATABASE).values())
        ground.kill(f"{name}-0")
        eventually(lambda: sum(ground.restarts(DATABASE).values()) > before, 60, "the restart of the database")
        backs.append(observed(ground))
        ground.patch("StatefulSet", name, {"op": "replace", "path": "/spec/replicas", "value": 0})
        eventually(lambda: not ground.pods(DATABASE), 60, "the removal of the database pod")
        time.sleep(seconds)
        ground.patch("StatefulSet", name, {"op": "replace", "path": "/spec/replicas", "value": 1})
        backs.append(observed(ground))
    polite = sum(failure["outcome"] == "unavailable" for failure in load.failures)
    problems = [] if ground.restarts() == restarts else ["web pods were restarted or replaced"]
    note = back_again(load, backs, problems)
    return load.row("Database killed, then away for a while", polite, problems, note)


def observed(ground: Ground) -> tuple[float, float]:
    """Wait until the database and the site are ready, then observe for a while; return the start and the end."""
    eventually(lambda: ground.ready(DATABASE) == 1, 300, "the database")
    eventually(lambda: ground.ready() == REPLICAS, 300, "the site")
    ready = time.monotonic()
    time.sleep(BACK + 2)
    return ready, time.monotonic() - 1


def back_again(load: Load, backs: list[tuple[float, float]], problems: list[str]) -> str:
    """Return a note on the last failed request after each recovery, and add a problem if it is too late."""
    late = [load.last_failure(since, until) for since, until in backs]
    if max(late) > BACK:
        problems.append(f"back only {max(late):.1f} s after the pods were ready")
    return f"back {', '.join(f'{seconds:.1f}' for seconds in late)} s after the pods were ready"


def node_restarted(ground: Ground) -> Row:
    """Kill the only node and start it again, like a power failure."""
    [node] = ground.nodes()
    with ground.load() as load:
        before = ground.restarts() | ground.restarts(DATABASE)
        killed = time.monotonic()
        docker("kill", node)
        docker("start", node)
        # Until the kubelet has reported, the API returns the old state.
        eventually(lambda: answers(lambda: all_restarted(ground, before)), 300, "the node")
        back = observed(ground)
    problems: list[str] = []
    note = f"{back_again(load, [back], problems)}, {back[0] - killed:.0f} s after the node was killed"
    # A request that was sent shortly before has failed too.
    expected = sum(killed - 1 <= failure["ended"] <= back[0] + BACK for failure in load.failures)
    return load.row("The only node killed, and started again", expected, problems, note)


def all_restarted(ground: Ground, before: Mapping[str, int]) -> bool:
    """Return whether each of these pods has restarted since."""
    now = ground.restarts() | ground.restarts(DATABASE)
    return all(now.get(name, 0) > restarts for name, restarts in before.items())


def answers(query: Callable[[], Any]) -> Any:
    """Return the result of a query, or None while the API does not respond."""
    try:
        return query()
    except (CloudDjangoError, Failed):
        return None
