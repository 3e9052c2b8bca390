"""Throughput of a pod with and without a front, and the memory of the front, for `make bench`."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from beside import FILES, endpoint, pod_beside
from ground import Ground, eventually
from plays import PROJECT, Failed, Plays, say

GENERATOR = PROJECT / "bench" / "generator.py"
PAGE, CONNECTIONS = "/", 16
RUNS, RUN_SECONDS, WARM_UP_SECONDS = 5, 4.0, 2.0
# Seconds until the kubelet has measured the memory of an idle front.
IDLE_SECONDS = 15.0
FRONT, ALONE = "with the front", "without it"
# The limit of the whole pod is one CPU, shared by its containers.
ONE_CPU = {"spec": {"template": {"spec": {"resources": {"limits": {"cpu": "1"}}}}}}
ONE_POD = {"web_replicas": 1, "web_overrides": {"Deployment": ONE_CPU}}
# Requests per second, and the 99th percentile of their seconds.
type Run = dict[str, float]


def alone(template: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a pod from the template of a Deployment, which is replaced before the pod is created."""
    metadata = {"name": name, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@contextmanager
def both_pods(ground: Ground) -> Iterator[dict[str, str]]:
    """Yield the endpoints of a pod with a front and a pod without one. Meanwhile the site has one pod with a front."""
    name = f"{ground.app}-web-alone"
    ground.deploy("--tags=web", web_front_enabled=False, **ONE_POD)
    template = ground.template()
    ground.deploy("--tags=web", **ONE_POD)
    ground.cluster.create(alone(template, name))
    try:
        # The component has exactly these two pods.
        ground.wait_until_whole(2)
        ground.wait_for_old_pods()
        pods = {pod["metadata"]["name"] == name: pod for pod in ground.pods()}
        for pod in pods.values():
            if not (pod["spec"].get("resources") or {}).get("limits"):
                raise Failed(
                    "The cluster does not support resource limits of whole pods. Use Kubernetes 1.34 or later."
                )
        yield {FRONT: endpoint(pods[False]), ALONE: endpoint(pods[True])}
    finally:
        ground.cluster.delete("Pod", name, grace=0)
        eventually(lambda: ground.cluster.get("Pod", name) is None, 60, "the removal of the pod without a front")


@contextmanager
def generator(ground: Ground) -> Iterator[Callable[[str, float], Run]]:
    """Yield a function that sends requests to an endpoint for some seconds, from a pod."""
    files = {"generator.py": GENERATOR.read_text(encoding="utf-8")}
    wait = ["python", "-c", "import time; time.sleep(3600)"]
    with pod_beside(ground, "generator", ground.image(), wait, files) as (where, pod):

        def run(target: str, seconds: float) -> Run:
            host, _, port = target.rpartition(":")
            command = ["python", f"{FILES}/generator.py", host, port, PAGE, str(CONNECTIONS), str(seconds)]
            ended = where.exec(pod["metadata"]["name"], "main", command)
            if ended.code:
                raise Failed(f"The requests to {target} failed: {ended.err.strip().splitlines()[-1:]}")
            return json.loads(ended.out)

        yield run


def figures(runs: Sequence[dict[str, Run]]) -> dict[str, float]:
    """Return the medians of alternating runs, because the machine's speed drifts."""

    def ratio(name: str) -> float:
        return statistics.median(run[FRONT][name] / run[ALONE][name] for run in runs)

    return {
        "front_pages_per_second": statistics.median(run[FRONT]["rate"] for run in runs),
        "front_throughput_ratio": ratio("rate"),
        "front_p99_ratio": ratio("p99"),
    }


def throughput(plays: Plays) -> dict[str, float]:
    """Measure an existing site, which has its usual pods afterwards."""
    ground = Ground(plays)
    say("Deploying pods with the front and without it")
    with both_pods(ground) as endpoints, generator(ground) as run:
        time.sleep(IDLE_SECONDS)
        idle = ground.front_memory()
        runs, memory = [], []
        for target in endpoints.values():
            run(target, WARM_UP_SECONDS)
        for number in range(RUNS):
            say(f"Measuring the throughput, {number + 1} of {RUNS}")
            runs.append({name: run(target, RUN_SECONDS) for name, target in endpoints.items()})
            memory.append(ground.front_memory())
    ground.deploy("--tags=web")
    return figures(runs) | {"front_idle_mebibytes": idle, "front_loaded_mebibytes": max(memory)}
