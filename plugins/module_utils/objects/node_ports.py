# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Refuse a node port that another Service has, or that the cluster does not offer, before the first change."""

import contextlib
import copy
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import (
    Identity,
    Obj,
    identity,
    namespace_of,
)

# Default ports of sites first, then the rest of the default range of a cluster.
USUAL = (*range(30000, 30086), *range(30086, 32768))
# The API server's error for a port of another Service.
ALLOCATED = "already allocated"
# The API server's pod in clusters of kubeadm, such as kind and minikube, and its option.
API_SERVER = {"component": "kube-apiserver"}
RANGE = re.compile(r"--service-node-port-range=(\d+)-(\d+)")


def ports_of(service: Mapping[str, Any] | None) -> set[int]:
    """Return the node ports that a Service has or requests, including the one for health checks."""
    spec = (service or {}).get("spec") or {}
    found = [*(port.get("nodePort") for port in spec.get("ports") or []), spec.get("healthCheckNodePort")]
    return {int(port) for port in found if port}


def requested(
    planned: Mapping[str, Any] | None, wanted: list[Obj], existing: Mapping[Identity, Obj | None]
) -> dict[int, tuple[str, str]]:
    """Return the requested ports that no Service of the site has yet, each with the namespace and name of its Service.

    Args:
        planned: the Service of a later task, which does not exist if this task creates an object.
    """
    ports = {}
    for obj in (obj for obj in wanted if obj["kind"] == "Service"):
        for port in ports_of(obj) - ports_of(existing[identity(obj)]):
            ports[port] = (namespace_of(obj), obj["metadata"]["name"])
    if planned and planned["type"] == "NodePort" and planned["number"] and not all(existing.values()):
        ports[planned["number"]] = (planned["namespace"], planned["service"])
    return ports


def changed(
    planned: Mapping[str, Any] | None, client: Client, wanted: list[Obj], existing: Mapping[Identity, Obj | None]
) -> dict[int, tuple[str, str]]:
    """Return the new port of an existing site.

    Only the task with its namespace reads its Service, because that task is the first of a run.
    """
    is_first = any(obj["kind"] == "Namespace" for obj in wanted) and all(existing.values())
    if not (planned and planned["type"] == "NodePort" and planned["number"] and is_first):
        return {}
    service = client.get("Service", planned["service"], namespace=planned["namespace"])
    if planned["number"] in ports_of(service):
        return {}
    return {planned["number"]: (planned["namespace"], planned["service"])}


def refuse_taken(
    planned: Mapping[str, Any] | None, client: Client, wanted: list[Obj], existing: Mapping[Identity, Obj | None]
) -> None:
    """Raise ManifestError if another Service has a requested port, or the cluster does not offer it.

    Without a new port no request is sent.
    """
    ports = requested(planned, wanted, existing) | changed(planned, client, wanted, existing)
    if not ports:
        return
    refuse_outside(client, ports)
    try:
        services = client.list("Service", namespace="")
    except ApiError as error:
        if error.status != 403:
            raise
        for port, (namespace, name) in ports.items():
            refuse_allocated(client, port, namespace, name)
        return
    holders = {port: (namespace_of(item), item["metadata"]["name"]) for item in services for port in ports_of(item)}
    for port, owner in ports.items():
        if (holder := holders.get(port, owner)) != owner:
            # Another range of the cluster is unknown here.
            others = (*range(port + 1, 30086), *USUAL) if port in USUAL else ()
            free = [f", for instance {number}" for number in others if number not in holders][:1]
            raise taken(port, owner[1], f"Service {holder[1]} in namespace {holder[0]}", "".join(free))


def refuse_outside(client: Client, ports: Mapping[int, tuple[str, str]]) -> None:
    """Raise ManifestError if a port is outside of the range that the API server's pod has as an option.

    A dry run does not check the range. Users who may not read the pod get the API server's error for the Service.
    """
    pods: list[Obj] = []
    with contextlib.suppress(ApiError):
        pods = client.list("Pod", namespace="kube-system", labels=API_SERVER)
    containers = [each for pod in pods for each in pod["spec"]["containers"]]
    words = [word for each in containers for word in [*(each.get("command") or []), *(each.get("args") or [])]]
    ranges = [(int(found[1]), int(found[2])) for word in words if (found := RANGE.fullmatch(word))]
    for port, (_, name) in ports.items():
        if outside := [f"{first}-{last}" for first, last in ranges if not first <= port <= last]:
            reason = f"is outside of the cluster's range {outside[0]}"
            step = f"Set web_node_port to a port of this range, and web_node_port_range to {outside[0]}, {AGAIN}"
            raise ManifestError(f"Node port {port} for Service {name}", reason, step)


def refuse_allocated(client: Client, port: int, namespace: str, name: str) -> None:
    """Raise ManifestError if a dry run refuses the port. This is for users who may not list all Services."""
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": port, "protocol": "TCP"}]}
    metadata = {"name": "cloud-django-port", "namespace": namespace}
    dry = copy.copy(client)
    dry.dry_run = True
    try:
        dry.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    except ApiError as error:
        # Any other error appears again when the Service itself is applied.
        if ALLOCATED in str(error):
            raise taken(port, name, "a Service that this user may not list") from None


def taken(port: int, name: str, holder: str, example: str = "") -> ManifestError:
    """Return the error for a port that another Service has."""
    step = f"Set web_node_port to a free port{example}, {AGAIN}"
    return ManifestError(f"Node port {port} for Service {name}", f"is used by {holder}", step)
