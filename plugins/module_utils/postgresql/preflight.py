# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect the existing objects of a PostgreSQL server, and refuse settings that would fail later."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import MANAGED, foreign
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.claims import refuse_claim
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_rolled_out

KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")
# The keys of the Secrets of a server, by the suffix of their names.
KEYS = {"admin": ("username", "password"), "ca": ("tls.crt", "tls.key"), "tls": ("tls.crt", "tls.key")}


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return the result of the module. Raises ManifestError for objects or settings that would fail later."""
    name, external, claim = params["name"], params["external"], params["claim"]
    if params["state"] == "present" and params["connections"] and not external:
        refuse_connections(**params["connections"])
    owner = MANAGED | params["labels"]
    secrets: dict[str, Obj] = {}
    objects: list[Obj] = []
    volume = None
    # First, because a user may have no permission to read in a namespace that does not exist.
    exists = client.namespace_exists()
    if exists:
        secrets = read_secrets(client, name)
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
                refuse_foreign(item, params["namespace"], owner)
        values_of(secrets, params["namespace"], external)
        if claim and not external:
            refuse_claim(claim, volume, client, "postgresql")
    return {
        "changed": False,
        "namespace_exists": exists,
        "claim_bound": bool(volume) and volume.get("status", {}).get("phase") == "Bound",
        "server_ready": any(item["kind"] == "StatefulSet" and is_rolled_out(item) for item in objects),
        "objects": [f"{item['kind']}/{item['metadata']['name']}" for item in content if not foreign(item, owner)],
    }


def refuse_foreign(item: Obj, namespace: str, owner: Mapping[str, str] = MANAGED) -> None:
    """Raise ManifestError if an object lacks one of its owner's labels."""
    if foreign(item, owner):
        raise ManifestError(
            f"{item['kind']} {item['metadata']['name']} in namespace {namespace}",
            "already exists and isn't managed by this collection",
            f"Choose another app_name or app_namespace, or remove the object, {AGAIN}",
        )


def required_values(secret: Obj, namespace: str, keys: Sequence[str], next_step: str) -> dict[str, str]:
    """Return the values of a Secret. Raises ManifestError if one of the keys is missing or empty."""
    values = data_of(secret)
    if missing := [key for key in keys if not values.get(key)]:
        name = secret["metadata"]["name"]
        raise ManifestError(f"Secret {name} in namespace {namespace}", f"has no {' and no '.join(missing)}", next_step)
    return values


def read_secrets(client: Client, name: str, suffixes: Iterable[str] = KEYS) -> dict[str, Obj]:
    """Return the existing Secrets of a server, by the suffix of their names."""
    found = {suffix: client.get("Secret", f"{name}-{suffix}") for suffix in suffixes}
    return {suffix: secret for suffix, secret in found.items() if secret}


def values_of(secrets: Mapping[str, Obj], namespace: str, external: bool) -> dict[str, dict[str, Any]]:
    """Return the values of a server's Secrets. Raises ManifestError if they are invalid.

    The Secrets of an external server may come from the user, who does not need the key of its certificate authority.
    """
    certificates.require()
    values = {}
    restore = f"Restore its content, or delete it so that a new one is created, {AGAIN}"
    for suffix, secret in secrets.items():
        keys = ("tls.crt",) if external and suffix == "ca" else KEYS[suffix]
        values[suffix] = required_values(secret, namespace, keys, restore)
        if external:
            continue
        refuse_foreign(secret, namespace)
        if suffix == "ca" and (reason := certificates.fault(certificates.Pair.of(values[suffix]))):
            title = f"Secret {secret['metadata']['name']} in namespace {namespace}"
            raise ManifestError(title, f"is not a certificate authority: {reason}", restore)
    return values


def refuse_connections(accepted: int, web: int, jobs: int, reserved: int, processes: int = 0) -> None:
    """Raise ManifestError if the server accepts fewer connections than the site may open."""
    if accepted < (needed := web + processes + jobs + reserved):
        numbers = [f"{web} by web pods", f"{processes} by workers and schedules", f"{jobs} by Jobs"]
        parts = ", ".join(part for part in numbers if processes or part is not numbers[1])
        raise ManifestError(
            f"The site may open {needed} connections ({parts}, {reserved} reserved),",
            f"but the server accepts {accepted}",
            f"Raise postgresql_max_connections, or lower replicas, workers, or threads, {AGAIN}",
        )
