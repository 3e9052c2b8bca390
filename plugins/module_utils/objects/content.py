# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The content of a namespace, whatever its kinds."""

from collections.abc import Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import endpoints
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
        # Deletion is under way already.
        or bool(metadata.get("deletionTimestamp"))
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


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ApiError."""
    # The discovery of kinds is not the client's own, and raises what the network raises.
    with explained(params):
        return read(client, params["kinds"])


def read(client: Client, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of the client's namespace; without `kinds`, of all of them."""
    namespace = client.get("Namespace", client.namespace)
    if namespace is None:
        return {"exists": False, "labels": {}, "objects": [], "unreadable": []}
    objects = []
    unreadable = set()
    discovered = client.dynamic.resources
    known = [found for kind in kinds for found in discovered.search(kind=kind)] if kinds else discovered.search()
    for resource in listable(known):
        try:
            answer = client.request("get", endpoints.path_of(resource.group_version, resource.name, client.namespace))
        except ApiError as error:
            if error.status not in (403, 405):
                raise
            unreadable |= {resource.kind} if error.status == 403 else set()
            continue
        for item in (answer or {}).get("items") or []:
            item = {"kind": resource.kind} | item
            if not is_automatic(item):
                objects.append(f"{resource.kind}/{item['metadata']['name']}")
    return {
        "exists": True,
        "labels": labels_of(namespace),
        "objects": sorted(set(objects)),
        "unreadable": sorted(unreadable - _AUTOMATIC_KINDS),
    }
