# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect what exists of a PostgreSQL server in a namespace, and refuse what could not work later."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import MANAGED, foreign
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import quantity
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_rolled_out

KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# The keys of the Secrets of a server, by the end of their names.
KEYS = {"admin": ("username", "password"), "ca": ("tls.crt", "tls.key"), "tls": ("tls.crt", "tls.key")}


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ManifestError for what could not work later."""
    name, external, claim = params["name"], params["external"], params["claim"]
    if params["state"] == "present" and params["connections"] and not external:
        refuse_connections(**params["connections"])
    owner = MANAGED | params["labels"]
    secrets: dict[str, Obj] = {}
    objects: list[Obj] = []
    volume = None
    # First, since a user may have no right to read anything in a namespace that does not exist.
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
            refuse_claim(claim, volume, client)
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
            "is there already and not from this collection",
            f"Choose another app_name or app_namespace, or remove it, {AGAIN}",
        )


def required_values(secret: Obj, namespace: str, keys: Sequence[str], next_step: str) -> dict[str, str]:
    """Return the values of a Secret. Raises ManifestError if one of these keys is missing or empty."""
    values = data_of(secret)
    if missing := [key for key in keys if not values.get(key)]:
        name = secret["metadata"]["name"]
        raise ManifestError(f"Secret {name} in namespace {namespace}", f"has no {' and no '.join(missing)}", next_step)
    return values


def read_secrets(client: Client, name: str, suffixes: Iterable[str] = KEYS) -> dict[str, Obj]:
    """Return those Secrets of a server that exist, by the end of their names."""
    found = {suffix: client.get("Secret", f"{name}-{suffix}") for suffix in suffixes}
    return {suffix: secret for suffix, secret in found.items() if secret}


def values_of(secrets: Mapping[str, Obj], namespace: str, external: bool) -> dict[str, dict[str, Any]]:
    """Return the values of a server's Secrets. Raises ManifestError if they cannot be used.

    Those of a server outside of the cluster may come from the user, who need not know its authority's key.
    """
    certificates.require()
    values = {}
    restore = f"Restore what it held, or delete it to have a new one made, {AGAIN}"
    for suffix, secret in secrets.items():
        keys = ("tls.crt",) if external and suffix == "ca" else KEYS[suffix]
        values[suffix] = required_values(secret, namespace, keys, restore)
        if external:
            continue
        refuse_foreign(secret, namespace)
        if suffix == "ca" and (reason := certificates.fault(certificates.Pair.of(values[suffix]))):
            title = f"Secret {secret['metadata']['name']} in namespace {namespace}"
            raise ManifestError(title, f"is no certificate authority: {reason}", restore)
    return values


def refuse_connections(accepted: int, web: int, jobs: int, reserved: int) -> None:
    """Raise ManifestError if the server accepts fewer connections than the site may open."""
    if accepted < (needed := web + jobs + reserved):
        raise ManifestError(
            f"The site may open {needed} connections ({web} by web pods, {jobs} by jobs, {reserved} reserved), and the "
            f"server accepts {accepted}. Raise postgresql_max_connections, or lower replicas, workers or threads."
        )


def amount(size: str) -> Decimal:
    """Return the bytes of a volume's size. Raises ManifestError if it is none."""
    try:
        return quantity.parse(size)
    except ValueError:
        raise ManifestError(
            f"The size {size} of the volume", "is no amount that Kubernetes knows", "Write for example 10Gi"
        ) from None


def refuse_claim(claim: Mapping[str, Any], existing: Obj | None, client: Client) -> None:
    """Raise ManifestError if a claim, with its name, size and storage_class, can never be served as it is wanted."""
    size, wanted = amount(claim["size"]), claim["storage_class"]
    if not existing:
        refuse_class(wanted, client.list("StorageClass"))
        return
    volume, move = f"The volume of claim {claim['name']}", "or move the data by backup and restore"
    held, name = existing["spec"]["resources"]["requests"]["storage"], existing["spec"].get("storageClassName")
    if size < amount(held):
        step = f"Set postgresql_storage_size to {held} or more, {AGAIN}"
        raise ManifestError(volume, f"has {held}, and volumes cannot shrink to {claim['size']}", step)
    if wanted and name != wanted:
        reason = f"is of storage class {name or 'none'}, and cannot become one of {wanted}"
        raise ManifestError(volume, reason, f"Set postgresql_storage_class back, {move}")
    # Only now, since an unchanged run need not ask for the classes.
    if size > amount(held) and not any(
        item["metadata"]["name"] == name and item.get("allowVolumeExpansion") for item in client.list("StorageClass")
    ):
        reason = f"has {held}, and its storage class {name or 'none'} cannot enlarge it to {claim['size']}"
        raise ManifestError(volume, reason, f"Set postgresql_storage_size back to {held}, {move}")


def refuse_class(wanted: str, classes: Sequence[Obj]) -> None:
    """Raise ManifestError if the cluster does not have the storage class, or no default one if none is named."""
    names = sorted(item["metadata"]["name"] for item in classes)
    step = f"Set postgresql_storage_class to {'one of ' + ', '.join(names) if names else 'one that you made'}, {AGAIN}"
    if wanted and wanted not in names:
        raise ManifestError(f"Storage class {wanted}", "does not exist in this cluster", step)
    if not wanted and not any((c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" for c in classes):
        raise ManifestError("This cluster", "has no default storage class", step)
