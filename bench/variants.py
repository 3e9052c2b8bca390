"""Pods that `make bench` compares: copies of the site's pods that differ only in how they serve."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import running_containers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready
from beside import endpoint
from ground import Ground, eventually
from plays import Failed

OURS, ALONE, UNCACHED, BASELINE = "ours", "alone", "uncached", "baseline"
# Pods that are compared with each other on all pages.
COMPARED = (OURS, ALONE, UNCACHED, BASELINE)
# Pods that are compared with each other while the cache is down.
WITH_CACHE, WITHOUT_CACHE = "with-cache", "without-cache"
# Setting of the polls site that turns page caching off.
NO_PAGE_CACHE = {"DJANGO_PAGE_CACHE_SECONDS": "0"}
# Settings without which the project has no cache.
NO_CACHE = {"CACHE_SECRET_DIRECTORY": ""}
# With several pages, the list needs the number of questions, which the project stores in the cache.
SEVERAL_PAGES = {"POLLS_PAGE_SIZE": "1"}

# The limit of the whole pod is one CPU, shared by its containers. All pods have the same weight when the node is busy.
RESOURCES = {"limits": {"cpu": "1"}, "requests": {"cpu": "75m"}}
# Half of the defaults, so that ten pods fit on a node of two CPUs. Their proportion is the weight of a container when
# the CPU of the pod is busy.
REQUESTS = {"web": {"cpu": "50m", "memory": "96Mi"}, "front": {"cpu": "25m", "memory": "32Mi"}}

# gunicorn without any configuration file: the usual number of sync workers for the CPUs of the node, and at most as
# many as fit into the memory limit.
SYNC_WORKERS = """
import multiprocessing, os
workers = min(multiprocessing.cpu_count() * 2 - 1, 9)
options = ["--config=/dev/null", "--bind=" + os.environ["WEB_BIND"], "--worker-tmp-dir=/dev/shm", "--no-control-socket"]
os.execvp("gunicorn", ["gunicorn", *options, f"--workers={workers}", "config.wsgi"])
"""


@dataclass(frozen=True)
class Variant:
    """Differences from the pod of a Deployment."""

    front: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()


VARIANTS = {
    OURS: Variant(),
    ALONE: Variant(front=False),
    UNCACHED: Variant(environment=NO_PAGE_CACHE),
    # The same image, pages, and TLS to the database: a connection per request, and no cache.
    BASELINE: Variant(
        front=False,
        environment={"DATABASE_CONN_MAX_AGE": "0", **NO_CACHE, **NO_PAGE_CACHE},
        command=["python", "-c", SYNC_WORKERS],
    ),
    WITH_CACHE: Variant(environment=SEVERAL_PAGES),
    WITHOUT_CACHE: Variant(environment=SEVERAL_PAGES | NO_CACHE),
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
            limits = (container.get("resources") or {}).get("limits") or {}
            requests = REQUESTS.get(container["name"], REQUESTS["front"])
            changed = {**container, "resources": {"limits": limits, "requests": requests}}
            if container["name"] == "web":
                changed = with_environment(changed, variant.environment)
                changed |= {"command": list(variant.command)} if variant.command else {}
            spec[group][number] = changed
    # The front reads its release from the annotations.
    metadata = {"name": name, **{key: template["metadata"].get(key) or {} for key in ("labels", "annotations")}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Pods:
    """Pods of the variants, beside a site without pods of its own."""

    def __init__(self, ground: Ground, templates: Mapping[bool, Mapping[str, Any]]) -> None:
        self.ground, self.templates = ground, templates
        # Names of the running pods of each variant.
        self.names: dict[str, list[str]] = {}

    def start(self, numbers: Mapping[str, int]) -> None:
        """Start pods until each variant has this number of them, and wait until they are ready."""
        for variant, number in numbers.items():
            names = self.names.setdefault(variant, [])
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
        """Return the working set of the first pod of each variant in MiB, by container name."""
        measured = self.ground.memory()
        return {variant: measured.get(names[0], {}) for variant, names in self.names.items()}

    def remove(self) -> None:
        names = [name for several in self.names.values() for name in several]
        for name in names:
            self.ground.cluster.delete("Pod", name, grace=0)
        eventually(
            lambda: not any(self.ground.cluster.get("Pod", name) for name in names), 120, "the removal of the pods"
        )


@contextmanager
def pods_of_variants(ground: Ground) -> Iterator[Pods]:
    """Yield the pods of the variants. Meanwhile the site has no pods; afterwards it has its usual ones."""
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
        pods.remove()
        ground.deploy("--tags=web")
