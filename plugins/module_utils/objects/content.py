# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The content of a namespace, whatever its kinds."""

from collections.abc import Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import endpoints, holds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import explained
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import labels_of

# Kubernetes makes these by itself, in each namespace or for each Service.
_AUTOMATIC = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
}
_AUTOMATIC_KINDS = {"Event", "EndpointSlice", "Endpoints", "Lease", "PodMetrics"}


def is_automatic(item: dict[str, Any]) -> bool:
    """Tell whether Kubernetes made `item`, a list entry of the API, without being asked."""
    metadata = item["metadata"]
    return (
        item["kind"] in _AUTOMATIC_KINDS
        or (item["kind"], metadata["name"]) in _AUTOMATIC
        or bool(metadata.get("ownerReferences"))
    )


def listable(resources: list[Any]) -> list[Any]:
    """Return one API resource per kind and group of those that are namespaced and can be listed."""
    chosen: dict[tuple[str, str], Any] = {}
    for resource in resources:
        # The dynamic client makes up a kind "…List" for each kind, which has a base kind.
        if "base_kind" in vars(resource) or not resource.namespaced or "list" not in (resource.verbs or []):
            continue
        if resource.preferred or (resource.group, resource.kind) not in chosen:
            chosen[resource.group, resource.kind] = resource
    return list(chosen.values())


def title(item: dict[str, Any]) -> str:
    """Return how the result calls an object."""
    return f"{item['kind']}/{item['metadata']['name']}"


def described(item: dict[str, Any], pods: Sequence[dict[str, Any]]) -> str:
    """Return how the result calls an object that is being deleted, with what holds it."""
    hold = holds.of(item, pods)
    return f"{title(item)} ({hold.text})" if hold else title(item)


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ApiError."""
    # The discovery of kinds is not the client's own, and raises what the network raises.
    with explained(params):
        return read(client, params["kinds"])


def read(client: Client, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of the client's namespace; without `kinds`, of all of them."""
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
            # An API service that is down answers 503: its objects are unknown, and the others matter no less.
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
