# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The content of a namespace, of all kinds."""

from collections.abc import Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import endpoints, holds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import explained
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import labels_of

# Kubernetes creates these objects and kinds automatically, in each namespace or for each Service.
_AUTOMATIC = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
}
_AUTOMATIC_KINDS = {"Event", "EndpointSlice", "Endpoints", "Lease", "PodMetrics"}


def is_automatic(item: dict[str, Any]) -> bool:
    """Return whether Kubernetes created `item`, an entry of an API list, automatically."""
    metadata = item["metadata"]
    return (
        item["kind"] in _AUTOMATIC_KINDS
        or (item["kind"], metadata["name"]) in _AUTOMATIC
        or bool(metadata.get("ownerReferences"))
    )


def listable(resources: list[Any]) -> list[Any]:
    """Return one API resource per kind and group, without those that are cluster-scoped or cannot be listed."""
    chosen: dict[tuple[str, str], Any] = {}
    for resource in resources:
        # The dynamic client adds a kind "…List" with a base kind for each kind.
        if "base_kind" in vars(resource) or not resource.namespaced or "list" not in (resource.verbs or []):
            continue
        if resource.preferred or (resource.group, resource.kind) not in chosen:
            chosen[resource.group, resource.kind] = resource
    return list(chosen.values())


def title(item: dict[str, Any]) -> str:
    """Return the name of an object in the result."""
    return f"{item['kind']}/{item['metadata']['name']}"


def described(item: dict[str, Any], pods: Sequence[dict[str, Any]]) -> str:
    """Return the name of an object that is being deleted in the result, with the reason that delays it."""
    hold = holds.of(item, pods)
    return f"{title(item)} ({hold.text})" if hold else title(item)


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return the module's result. Raises ApiError."""
    # The discovery of kinds is that of kubernetes.core, and raises network errors.
    with explained(params):
        return read(client, params["kinds"])


def read(client: Client, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of the client's namespace; without `kinds`, that of all kinds."""
    namespace = client.get("Namespace", client.namespace)
    if namespace is None:
        return {"exists": False, "labels": {}, "objects": [], "going": [], "unreadable": []}
    found: list[dict[str, Any]] = [{"kind": "Namespace"} | namespace] if holds.is_going(namespace) else []
    pods: list[dict[str, Any]] = []
    unreadable = set()
    discovered = client.dynamic.resources
    known = [found for kind in kinds for found in discovered.search(kind=kind)] if kinds else discovered.search()
    for resource in listable(known):
        try:
            answer = client.request("get", endpoints.path_of(resource.group_version, resource.name, client.namespace))
        except ApiError as error:
            # 503 is an API service that is down. Its objects are unknown, but the other kinds can be listed.
            if error.status not in (403, 405, 503):
                raise
            unreadable |= {resource.kind} if error.status != 405 else set()
            continue
        items = [{"kind": resource.kind} | item for item in (answer or {}).get("items") or []]
        pods += items if resource.kind == "Pod" else []
        found += [item for item in items if not is_automatic(item)]
    return {
        "exists": True,
        "labels": labels_of(namespace),
        "objects": sorted({title(item) for item in found if not holds.is_going(item)}),
        "going": sorted({described(item, pods) for item in found if holds.is_going(item)}),
        "unreadable": sorted(unreadable - _AUTOMATIC_KINDS),
    }
