"""Pods that `make bench` compares: copies of the site's pods that differ only in how they serve."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import running_containers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready
from beside import endpoint, remove_beside
from ground import Ground, eventually
from plays import Failed

OURS, ALONE, UNCACHED, BASELINE = "ours", "alone", "uncached", "baseline"
# Pods that are compared with each other on all pages.
COMPARED = (OURS, ALONE, UNCACHED, BASELINE)
# Pods that are compared on the list only, where a pod without page caching shows what the front costs.
UNCACHED_ALONE = "uncached-alone"
# Pods that are compared with each other while the cache is down. Pages in the memory of a worker would hide that.
WITH_CACHE, WITHOUT_CACHE = "with-cache", "without-cache"
# Setting of the polls site that turns page caching off.
NO_PAGE_CACHE = {"DJANGO_PAGE_CACHE_SECONDS": "0"}
# Settings without which the project has no cache.
NO_CACHE = {"CACHE_SECRET_DIRECTORY": ""}
# With several pages, the list needs the number of questions, which the project stores in the cache.
SEVERAL_PAGES = {"POLLS_PAGE_SIZE": "1"}

# The limit of the whole pod is one CPU, shared by its containers. All pods have the same weight when the node is busy.
RESOURCES = {"limits": {"cpu": "1"}, "requests": {"cpu": "75m"}}
# Half of the defaults, so that seven pods fit on a node of two CPUs. Their proportion is the weight of a container when
# the CPU of the pod is busy.
REQUESTS = {"web": {"cpu": "50m", "memory": "96Mi"}, "front": {"cpu": "25m", "memory": "32Mi"}}

# Label of these pods, by which those of an interrupted measurement are found.
OF_A_VARIANT = {"cloud-django/bench": "variant"}
# Name of the pod beside the site that sends the requests.
GENERATOR = "generator"
# Seconds until the kubelet has measured the memory of each container.
MEMORY_SECONDS = 60.0

# gunicorn without any configuration file: the usual number of sync workers for the CPUs of the node.
SYNC_WORKERS = """
import multiprocessing, os
workers = multiprocessing.cpu_count() * 2 - 1
options = ["--config=/dev/null", "--bind=" + os.environ["WEB_BIND"], "--worker-tmp-dir=/dev/shm", "--no-control-socket"]
os.execvp("gunicorn", ["gunicorn", *options, f"--workers={workers}", "config.wsgi"])
"""


@dataclass(frozen=True)
class Variant:
    """Differences from the pod of a Deployment."""

    front: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    # Without it, the number of workers can follow from the CPUs of any node.
    memory_limit: bool = True

    @property
    def containers(self) -> set[str]:
        """Return the names of the containers that run."""
        return {"web", "front"} if self.front else {"web"}


VARIANTS = {
    OURS: Variant(),
    ALONE: Variant(front=False),
    UNCACHED: Variant(environment=NO_PAGE_CACHE),
    UNCACHED_ALONE: Variant(front=False, environment=NO_PAGE_CACHE),
    # The same image, pages, and TLS to the database: a connection per request, and no cache.
    BASELINE: Variant(
        front=False,
        environment={"DATABASE_CONN_MAX_AGE": "0", **NO_CACHE, **NO_PAGE_CACHE},
        command=["python", "-c", SYNC_WORKERS],
        memory_limit=False,
    ),
    WITH_CACHE: Variant(environment=SEVERAL_PAGES | NO_PAGE_CACHE),
    WITHOUT_CACHE: Variant(environment=SEVERAL_PAGES | NO_PAGE_CACHE | NO_CACHE),
}


def with_environment(container: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """Return a container with these variables. They override those of ConfigMaps, and an empty one counts as unset."""
    kept = [entry for entry in container.get("env") or [] if entry["name"] not in changes]
    return {**container, "env": kept + [{"name": name, "value": value} for name, value in changes.items()]}


def pod_of(template: Mapping[str, Any], name: str, variant: Variant) -> dict[str, Any]:
    """Return a pod from the template of a Deployment. It has no owner, so that no later rollout changes it."""
    spec = copy.deepcopy(dict(template["spec"]))
    spec["resources"] = RESOURCES
    for group in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(group) or []):
            limits = dict((container.get("resources") or {}).get("limits") or {})
            if not variant.memory_limit:
                limits.pop("memory", None)
            requests = REQUESTS.get(container["name"], REQUESTS["front"])
            changed = {**container, "resources": {"limits": limits, "requests": requests}}
            if container["name"] == "web":
                changed = with_environment(changed, variant.environment)
                changed |= {"command": list(variant.command)} if variant.command else {}
            spec[group][number] = changed
    # The front reads its release from the annotations.
    metadata = {
        "name": name,
        "labels": dict(template["metadata"].get("labels") or {}) | OF_A_VARIANT,
        "annotations": template["metadata"].get("annotations") or {},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Pods:
    """Pods of the variants, beside a site without pods of its own."""

    def __init__(self, ground: Ground, templates: Mapping[bool, Mapping[str, Any]]) -> None:
        self.ground, self.templates = ground, templates
        # Names of the running pods of each variant.
        self.names: dict[str, list[str]] = {}

    def start(self, numbers: Mapping[str, int]) -> None:
        """Run these numbers of pods of the variants, and no others. Wait until they are ready."""
        for variant, names in self.names.items():
            for name in names[numbers.get(variant, 0) :]:
                self.ground.cluster.delete("Pod", name, grace=0)
        self.names = {variant: self.names.get(variant, [])[:number] for variant, number in numbers.items()}
        for variant, number in numbers.items():
            names = self.names[variant]
            for place in range(len(names), number):
                name = f"{self.ground.app}-web-{variant}-{place + 1}"
                names.append(name)
                template = self.templates[VARIANTS[variant].front]
                self.ground.cluster.create(pod_of(template, name, VARIANTS[variant]))
        expected = [name for names in self.names.values() for name in names]
        eventually(lambda: all(is_pod_ready(self.ground.get("Pod", name)) for name in expected), 180, "the pods")
        for name in expected:
            if not (self.ground.get("Pod", name)["spec"].get("resources") or {}).get("limits"):
                raise Failed("The cluster does not support CPU limits of whole pods. Use Kubernetes 1.34 or later.")

    def endpoints(self, *variants: str, number: int = 1) -> dict[str, list[str]]:
        """Return the addresses with ports of the first pods of these variants."""
        return {
            variant: [endpoint(self.ground.get("Pod", name)) for name in self.names[variant][:number]]
            for variant in variants
        }

    def memory(self) -> dict[str, dict[str, float]]:
        """Return the working set of the first pod of each variant in MiB, by container name.

        Raises Failed if the kubelet does not report each container after a while.
        """
        return eventually(self.memory_now, MEMORY_SECONDS, "the memory of all containers")

    def memory_now(self) -> dict[str, dict[str, float]] | None:
        """Return the working sets, or None while one of them is missing."""
        measured = self.ground.memory()
        found = {variant: measured.get(names[0], {}) for variant, names in self.names.items()}
        is_whole = all(sizes.keys() >= VARIANTS[variant].containers for variant, sizes in found.items())
        return found if is_whole else None


def remove_pods(ground: Ground) -> None:
    """Remove the pods of all variants, also those of an interrupted measurement."""

    def left() -> list[dict[str, Any]]:
        return ground.cluster.list("Pod", labels=OF_A_VARIANT)

    for pod in left():
        ground.cluster.delete("Pod", pod["metadata"]["name"], grace=0)
    eventually(lambda: not left(), 120, "the removal of the pods")


def remove_leftovers(ground: Ground) -> None:
    """Remove what an interrupted measurement may have left in the cluster."""
    remove_pods(ground)
    remove_beside(ground, GENERATOR)


@contextmanager
def pods_of_variants(ground: Ground) -> Iterator[Pods]:
    """Yield the pods of the variants. Meanwhile the site has no pods; afterwards it has its usual ones."""
    remove_pods(ground)
    ground.deploy("--tags=web", web_front_enabled=False, web_replicas=0)
    alone = ground.template()
    ground.deploy("--tags=web", web_replicas=0)
    pods = Pods(ground, {True: ground.template(), False: alone})
    try:
        if not any(one["name"] == "front" for one in running_containers(pods.templates[True]["spec"])):
            raise Failed("The pods of the site have no front. Set web_front_enabled to true for this measurement.")
        ground.wait_until_whole(0)
        ground.wait_for_old_pods()
        yield pods
    finally:
        remove_pods(ground)
        ground.deploy("--tags=web")
