# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect what exists of a PostgreSQL server in a namespace, and refuse what could not work later."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import MANAGED, foreign
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import existing, storage
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_rolled_out

KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ManifestError for what could not work later."""
    name, external, claim = params["name"], params["external"], params["claim"]
    owner = MANAGED | params["labels"]
    secrets: dict[str, Obj] = {}
    objects: list[Obj] = []
    volume = None
    # First, since a user may have no right to read anything in a namespace that does not exist.
    exists = client.namespace_exists()
    if exists:
        secrets = existing.read_secrets(client, name)
    if exists and not external:
        objects = [item for kind in KINDS if (item := client.get(kind, name))]
        volume = client.get("PersistentVolumeClaim", claim["name"]) if claim else None
    content = [*objects, *secrets.values(), *([volume] if volume else [])]
    if params["state"] == "present":
        if not exists and not check_mode:
            step = f"Run playbooks/site.yml --tags namespace, {AGAIN}"
            raise ManifestError(f"Namespace {params['namespace']}", "does not exist", step)
        for item in content:
            if item["kind"] != "Secret":
                existing.refuse_foreign(item, params["namespace"], owner)
        existing.values_of(secrets, params["namespace"], external)
        if claim and not external:
            storage.refuse(claim, volume, client)
    return {
        "changed": False,
        "namespace_exists": exists,
        "claim_bound": bool(volume) and volume.get("status", {}).get("phase") == "Bound",
        "server_ready": any(item["kind"] == "StatefulSet" and is_rolled_out(item) for item in objects),
        "objects": [f"{item['kind']}/{item['metadata']['name']}" for item in content if not foreign(item, owner)],
    }
