# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Reconcile a database, its roles, its grants, and the Secrets of the roles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import is_ours
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    manifest,
    random_text,
    refuse_unreadable,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog, plan, preflight, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import Role, Wanted
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.plan import Change
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server, external_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready

PASSES = 3


def read_secrets(client: Client, params: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the values of each role's Secret. Raises ManifestError for an unmanaged Secret or a missing password."""
    held = {}
    for name in (role["secret"] for role in params["roles"]):
        if secret := client.get("Secret", name):
            preflight.refuse_foreign(secret, client.namespace)
            restore = f"Restore its content, or delete it so that a new password is created, {AGAIN}"
            held[name] = preflight.required_values(secret, client.namespace, ("username", "password"), restore)
    return held


def required_values(client: Client, name: str, keys: list[str]) -> dict[str, str]:
    """Return the values of a Secret that another role or a user created. Raises ManifestError if a value is missing."""
    secret = client.get("Secret", name)
    if secret is None:
        step = f"Run playbooks/site.yml --tags postgresql, {AGAIN}"
        raise ManifestError(f"Secret {name} in namespace {client.namespace}", "is missing", step)
    return preflight.required_values(secret, client.namespace, keys, f"Add it, {AGAIN}")


def wanted_secrets(params: dict[str, Any], wanted: Wanted, ca: str) -> dict[str, dict[str, str]]:
    """Return the wanted values of each role's Secret."""
    secrets = {}
    for option, role in zip(params["roles"], wanted.roles, strict=True):
        values = {
            "host": params["server_host"],
            "port": str(params["server_port"]),
            "database": wanted.database,
            "schema": wanted.schema,
            "username": role.name,
            "password": role.password,
            "ca.crt": ca,
        }
        secrets[option["secret"]] = values | ({"role": wanted.owner} if role.access == "owner" else {})
    return secrets


def wanted_state(params: dict[str, Any], held: dict[str, dict[str, str]]) -> Wanted:
    """Return the wanted state with passwords. Raises ManifestError for names that need quoting."""
    for name in (params["database"], params["schema"], params["owner"], *(role["name"] for role in params["roles"])):
        if not catalog.IDENTIFIER.fullmatch(name):
            reason = (
                "is not valid in the database. Names have lowercase letters, digits, and underscores, begin with a "
            )
            reason += "letter, and have at most 63 characters"
            raise ManifestError(f"The name {name}", reason, f"Choose another, {AGAIN}")
    roles = []
    for option in params["roles"]:
        password = option["password"] or held.get(option["secret"], {}).get("password") or random_text()
        # Also checked if it comes from the Secret, because a user may have written it.
        refuse_unreadable(f"The password of role {option['name']}", password, is_line=False)
        settings = {name: str(value) for name, value in (option["settings"] or {}).items()}
        roles.append(Role(option["name"], option["access"], password, option["connection_limit"], settings))
    return Wanted(
        database=params["database"],
        schema=params["schema"],
        owner=params["owner"],
        roles=tuple(roles),
        extensions=tuple(params["extensions"]),
        connections=params["connections"],
    )


def wrong_passwords(wanted: Wanted, found: dict[str, Any], server: Server | None) -> set[str]:
    """Return the roles with a wrong password. Without permission to read verifiers, a login is tried."""
    roles = [role for role in wanted.roles if role.name in found["roles"]]
    if "verifiers" in found:
        verifiers = found["verifiers"]
        wrong = {role.name for role in roles if not scram.fits(role.password, verifiers.get(role.name))}
        return wrong | ({wanted.owner} if verifiers.get(wanted.owner) else set())
    database = wanted.database if found["database"] else "postgres"
    return {role.name for role in roles if server and not server.logs_in(database, role.name, role.password)}


def changes_for(wanted: Wanted, found: dict[str, Any], server: Server | None) -> list[Change]:
    """Return the changes that a server needs. Raises ServerError if it is unsuitable."""
    if found["version"] < catalog.OLDEST_VERSION:
        # For an old server, only the version is known.
        found = catalog.nothing() | found
    return plan.plan(wanted, found, wrong_passwords(wanted, found, server), scram.verifier)


def reconcile(wanted: Wanted, server: Server, check_mode: bool) -> list[Change]:
    """Apply the wanted state to the server and return the changes. In check mode, only return them."""
    done: list[Change] = []
    # A first pass can cause more differences: a table with a new owner has other grants.
    for _ in range(PASSES):
        found = catalog.parsed(server.output(catalog.reading_script(wanted), needs_space=True))
        changes = changes_for(wanted, found, server)
        if check_mode or not changes:
            return done + changes
        server.output(plan.writing_script(wanted, changes, found["me"]["super"]))
        done += changes
    reason = f"still differs after the changes were applied: {changes[0].text}"
    raise ServerError(f"Database {wanted.database}", reason, f"Find the process that reverts them, {AGAIN}")


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


def present(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Reconcile database, roles, grants, and Secrets, and return the result of the module."""
    held = read_secrets(client, params)
    wanted = wanted_state(params, held)
    # In check mode, the server or the objects that a client pod needs may not exist yet.
    if not params["client_pod"] or check_mode:
        readable = is_readable(client, params)
        if not readable and check_mode:
            changes = changes_for(wanted, catalog.nothing(connections=params["expected_connections"]), None)
            return result([change.text for change in changes], [change.shown for change in changes])
        if not readable:
            thing = f"The database server in pod {params['pod']} of namespace {client.namespace}"
            raise ServerError(thing, "is not ready", f"Run playbooks/site.yml --tags postgresql, {AGAIN}")
    for name, keys in params["required_secrets"].items():
        required_values(client, name, keys)
    ca = required_values(client, params["ca_secret"], ["tls.crt"])["tls.crt"]
    with connected(client, params) as server:
        changes = reconcile(wanted, server, check_mode)
    texts = [change.text for change in changes]
    for name, values in wanted_secrets(params, wanted, ca).items():
        if held.get(name) != values:
            texts.append(f"{'change' if name in held else 'create'} Secret {name}")
            if not check_mode:
                client.apply(manifest(name, client.namespace, params["labels"], values))
    return result(texts, [change.shown for change in changes])


def absent(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Remove managed objects. The database of an external server is dropped only while its Secrets exist."""
    found = {role["secret"]: client.get("Secret", role["secret"]) for role in params["roles"]}
    managed = [name for name, secret in found.items() if secret and is_ours(secret)]
    texts = [f"remove Secret {name}" for name in managed]
    drops = bool(params["client_pod"] and managed)
    if drops:
        texts.insert(0, f"drop database {params['database']} and its roles")
    if not check_mode:
        if drops:
            with connected(client, params) as server:
                server.output(plan.removing_script(wanted_state(params, {})))
        for name in managed:
            client.delete("Secret", name)
    return result(texts, [])


def result(texts: list[str], statements: list[str]) -> dict[str, Any]:
    """Return the result of the module: the changes as phrases, and the statements without secrets."""
    answer: dict[str, Any] = {"changed": bool(texts), "changes": texts}
    return answer | ({"diff": {"prepared": "".join(f"{sql};\n" for sql in statements)}} if statements else {})


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Create or remove the database, and return the result of the module. Raises a CloudDjangoError."""
    return (present if params["state"] == "present" else absent)(params, check_mode, client)
