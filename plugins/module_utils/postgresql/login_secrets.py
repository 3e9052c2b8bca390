# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The objects in the cluster that the module postgresql_access reads and writes, and its connection to the server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import manifest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import preflight
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.logins import Endpoint
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server, external_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready

# Values of the Secrets, by their names.
Values = dict[str, dict[str, str]]


def held(client: Client, params: dict[str, Any], keys: Sequence[str] = ()) -> Values:
    """Return the values of each login's Secret. Raises ManifestError for an unmanaged Secret or a missing key."""
    found = {}
    for name in (role["secret"] for role in params["roles"]):
        if secret := client.get("Secret", name):
            preflight.refuse_foreign(secret, client.namespace)
            restore = f"Restore its content, or delete it so that a new password is created, {AGAIN}"
            found[name] = preflight.required_values(secret, client.namespace, keys, restore)
    return found


def write(
    client: Client, params: dict[str, Any], before: Mapping[str, Any], wanted: Values, check_mode: bool
) -> list[str]:
    """Write the Secrets that differ, except in check mode, and return the changes as phrases."""
    texts = []
    for name, values in wanted.items():
        if before.get(name) != values:
            texts.append(f"{'change' if name in before else 'create'} Secret {name}")
            if not check_mode:
                client.apply(manifest(name, client.namespace, params["labels"], values))
    return texts


def required_values(client: Client, name: str, keys: list[str]) -> dict[str, str]:
    """Return the values of a Secret that another role or a user created. Raises ManifestError if a value is missing."""
    secret = client.get("Secret", name)
    if secret is None:
        step = f"Run playbooks/site.yml --tags postgresql, {AGAIN}"
        raise ManifestError(f"Secret {name} in namespace {client.namespace}", "is missing", step)
    return preflight.required_values(secret, client.namespace, keys, f"Add it, {AGAIN}")


def endpoint(client: Client, params: dict[str, Any], owner: str) -> Endpoint:
    """Return the database as its clients reach it. Raises ManifestError if a required Secret is missing."""
    for name, keys in params["required_secrets"].items():
        required_values(client, name, keys)
    ca = required_values(client, params["ca_secret"], ["tls.crt"])["tls.crt"] if params["ca_secret"] else ""
    return Endpoint(
        host=params["server_host"],
        port=params["server_port"],
        database=params["database"],
        schema=params["schema"],
        owner=owner,
        sslmode=params["sslmode"],
        ca=ca,
        ca_file=params["ca_file"],
    )


@contextmanager
def connected(client: Client, params: dict[str, Any]) -> Iterator[Server]:
    """Yield the server, in the cluster or external."""
    host, port = params["server_host"], params["server_port"]
    if params["client_pod"]:
        with external_server(client, params["client_pod"], host, port) as server:
            yield server
    else:
        yield Server(client, params["pod"], params["container"], f"{host}:{port}")


def is_readable(client: Client, params: dict[str, Any]) -> bool:
    """Return whether the server is ready, or whether everything that a client pod needs exists."""
    if params["client_pod"]:
        return client.namespace_exists() and all(client.get("Secret", name) for name in params["required_secrets"])
    return is_pod_ready(client.get("Pod", params["pod"]))


def result(texts: list[str], statements: list[str]) -> dict[str, Any]:
    """Return the result of the module: the changes as phrases, and the statements without secrets."""
    answer: dict[str, Any] = {"changed": bool(texts), "changes": texts}
    return answer | ({"diff": {"prepared": "".join(f"{sql};\n" for sql in statements)}} if statements else {})
