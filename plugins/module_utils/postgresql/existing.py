# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Objects that exist already: refuse those of another owner, and Secrets that lack what they must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import MANAGED, foreign
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import certificates

# The keys of the Secrets of a server, by the end of their names.
KEYS = {"admin": ("username", "password"), "ca": ("tls.crt", "tls.key"), "tls": ("tls.crt", "tls.key")}


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
