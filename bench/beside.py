"""Pods next to the site, each in its own namespace, because policies block them in the site's namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import running_containers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running
from ground import Ground, answered, eventually
from plays import Failed

FILES = "/etc/files"  # Directory of a pod's files.
GATEWAY_PORT = 8099


def manifests(
    name: str, image: str, command: Sequence[str], files: Mapping[str, str], **spec: Any
) -> list[dict[str, Any]]:
    """Return the manifests of a pod with one container and its files."""
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "volumeMounts": [{"name": "files", "mountPath": FILES}],
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": dict(files)},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [container],
                "volumes": [{"name": "files", "configMap": {"name": name}}],
            }
            | spec,
        },
    ]


@contextmanager
def pod_beside(
    ground: Ground, name: str, image: str, command: Sequence[str], files: Mapping[str, str], **spec: Any
) -> Iterator[tuple[Client, dict[str, Any]]]:
    """Run a pod with these files in FILES; yield the client of its namespace and the pod, then remove both.

    A namespace that an interrupted measurement left is removed first.
    """
    remove_beside(ground, name)
    where = client_beside(ground, name)
    namespace = where.namespace
    where.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"name": name}}})
    try:
        for manifest in manifests(name, image, command, files, **spec):
            where.create(manifest)
        wait_until_running(where, name, 60)
        yield where, where.get("Pod", name) or {}
    finally:
        remove_beside(ground, name)


def client_beside(ground: Ground, name: str) -> Client:
    return Client(ground.cluster.dynamic, f"{ground.namespace}-{name}", ground.cluster.where)


def remove_beside(ground: Ground, name: str) -> None:
    """Remove a pod beside the site with its namespace, if they exist. Raises Failed for a namespace of others."""
    where = client_beside(ground, name)
    found = where.get("Namespace", where.namespace)
    if found is None:
        return
    if (found["metadata"].get("labels") or {}).get("name") != name:
        raise Failed(f"Namespace {where.namespace} exists, but no measurement created it.")
    where.delete("Pod", name, grace=0)
    if not found["metadata"].get("deletionTimestamp"):
        where.delete("Namespace", where.namespace)
    eventually(lambda: where.get("Namespace", where.namespace) is None, 60, f"the removal of {where.namespace}")


# ---- A gateway -------------------------------------------------------------------------------------------------------


def gateway_configuration(addresses: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a Caddy that retries requests at the next address if they can be repeated."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": address} for address in addresses],
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "try_duration": "8s",
            "try_interval": "50ms",
            "retry_match": [{"method": ["GET", "HEAD"]}],
        },
        "health_checks": {"passive": {"fail_duration": "2s", "max_fails": 1}},
        # A form must not use an idle connection to a pod that was killed.
        "transport": {"protocol": "http", "dial_timeout": "1s", "keep_alive": {"enabled": False}},
    }
    server = {
        "listen": [f":{GATEWAY_PORT}"],
        "automatic_https": {"disable": True},
        "routes": [{"handle": [proxy]}],
    }
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "apps": {
            "http": {"servers": {"gateway": server}},
            "tls": {"disable_storage_check": True, "disable_storage_clean": True},
        },
    }


def endpoint(pod: Mapping[str, Any]) -> str:
    """Return the address and port of a pod of the site."""
    ports = [port for container in running_containers(pod["spec"]) for port in container.get("ports") or []]
    [port] = [port["containerPort"] for port in ports if port.get("name") == "http"]
    return f"{pod['status']['podIP']}:{port}"


@contextmanager
def gateway_before(ground: Ground) -> Iterator[str]:
    """Run a gateway in front of the current pods of the site; yield its URL.

    It uses the network of its node, where the visitors reach it. Pods keep their addresses while their containers
    restart.
    """
    configuration = gateway_configuration([endpoint(pod) for pod in ground.pods()])
    files = {"caddy.json": json.dumps(configuration)}
    command = ["/usr/bin/caddy", "run", "--config", f"{FILES}/caddy.json"]
    with pod_beside(ground, "gateway", ground.image("front"), command, files, hostNetwork=True) as (_, pod):
        address = f"http://{pod['status']['hostIP']}:{GATEWAY_PORT}"
        eventually(lambda: answered(f"{address}/livez"), 30, "the gateway")
        yield address
