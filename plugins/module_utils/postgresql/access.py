# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Make a database, its roles and grants what they shall be, and write the Secrets of the roles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import is_ours
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    manifest,
    random_text,
    secret_problem,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog, plan, preflight, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import Role, Wanted
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.plan import Change
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server, external_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready

PASSES = 3


def read_secrets(client: Client, params: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what each role's Secret holds. Raises ManifestError for one that is not ours, or lost its password."""
    held = {}
    for name in (role["secret"] for role in params["roles"]):
        if secret := client.get("Secret", name):
            preflight.refuse_foreign(secret, client.namespace)
            restore = f"Restore what it held, or delete it to have a new password made, {AGAIN}"
            held[name] = preflight.required_values(secret, client.namespace, ("username", "password"), restore)
    return held


def required_values(client: Client, name: str, keys: list[str]) -> dict[str, str]:
    """Return what a Secret holds that another role or a person made. Raises ManifestError if it lacks something."""
    secret = client.get("Secret", name)
    if secret is None:
        step = f"Run playbooks/site.yml --tags postgresql, {AGAIN}"
        raise ManifestError(f"Secret {name} in namespace {client.namespace}", "is missing", step)
    return preflight.required_values(secret, client.namespace, keys, f"Add it, {AGAIN}")


def wanted_secrets(params: dict[str, Any], wanted: Wanted, ca: str) -> dict[str, dict[str, str]]:
    """Return what each role's Secret shall hold."""
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
    """Return what the options ask for, with passwords. Raises ManifestError for names that need quoting."""
    for name in (params["database"], params["schema"], params["owner"], *(role["name"] for role in params["roles"])):
        if not catalog.IDENTIFIER.fullmatch(name):
            reason = "cannot be used in the database: it may have small letters, digits and underscores, begins with a "
            reason += "letter, and has 63 characters at most"
            raise ManifestError(f"The name {name}", reason, f"Choose another, {AGAIN}")
    roles = []
    for option in params["roles"]:
        password = option["password"] or held.get(option["secret"], {}).get("password") or random_text()
        # One that somebody wrote into the Secret, too.
        if problem := secret_problem(password, is_line=False):
            reason, _, step = problem.partition(". ")
            raise ManifestError(f"The password of role {option['name']}", reason, f"{step}, {AGAIN}")
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
    """Return the roles that have another password than wanted; where verifiers may not be seen, by logging in."""
    roles = [role for role in wanted.roles if role.name in found["roles"]]
    if "verifiers" in found:
        verifiers = found["verifiers"]
        wrong = {role.name for role in roles if not scram.fits(role.password, verifiers.get(role.name))}
        return wrong | ({wanted.owner} if verifiers.get(wanted.owner) else set())
    database = wanted.database if found["database"] else "postgres"
    return {role.name for role in roles if server and not server.logs_in(database, role.name, role.password)}


def changes_for(wanted: Wanted, found: dict[str, Any], server: Server | None) -> list[Change]:
    """Return the changes that a server needs. Raises ServerError if it cannot be made what is wanted."""
    if found["version"] < catalog.OLDEST_VERSION:
        # Of such a server only the version is known.
        found = catalog.nothing() | found
    return plan.plan(wanted, found, wrong_passwords(wanted, found, server), scram.verifier)


def reconcile(wanted: Wanted, server: Server, check_mode: bool) -> list[Change]:
    """Make the server what is wanted, and return what was changed; in check mode only what would be."""
    done: list[Change] = []
    # What a first pass changes can bring more to light: a table that got another owner has other grants.
    for _ in range(PASSES):
        found = catalog.parsed(server.output(catalog.reading_script(wanted), needs_space=True))
        changes = changes_for(wanted, found, server)
        if check_mode or not changes:
            return done + changes
        server.output(plan.writing_script(wanted, changes, found["me"]["super"]))
        done += changes
    reason = f"still differs after the changes were applied: {changes[0].text}"
    raise ServerError(f"Database {wanted.database}", reason, f"Look for what changes it back, {AGAIN}")


@contextmanager
def connected(client: Client, params: dict[str, Any]) -> Iterator[Server]:
    """Yield the server, in the cluster or outside of it."""
    host, port = params["server_host"], params["server_port"]
    if params["client_pod"]:
        with external_server(client, params["client_pod"], host, port) as server:
            yield server
    else:
        yield Server(client, params["pod"], params["container"], f"{host}:{port}")


def is_readable(client: Client, params: dict[str, Any]) -> bool:
    """Tell whether there is a server to read from, or all that a client's pod needs."""
    if params["client_pod"]:
        return client.namespace_exists() and all(client.get("Secret", name) for name in params["required_secrets"])
    return is_pod_ready(client.get("Pod", params["pod"]))


def present(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Make database, roles, grants and Secrets what they shall be, and return what the module returns."""
    held = read_secrets(client, params)
    wanted = wanted_state(params, held)
    # The server, or what the way to it takes, may be made by the run that this check mode foretells.
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
            texts.append(f"{'change' if name in held else 'make'} Secret {name}")
            if not check_mode:
                client.apply(manifest(name, client.namespace, params["labels"], values))
    return result(texts, [change.shown for change in changes])


def absent(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Remove what is ours. The database of an external server is dropped only while its Secrets exist."""
    found = {role["secret"]: client.get("Secret", role["secret"]) for role in params["roles"]}
    ours = [name for name, secret in found.items() if secret and is_ours(secret)]
    texts = [f"remove Secret {name}" for name in ours]
    drops = bool(params["client_pod"] and ours)
    if drops:
        texts.insert(0, f"drop database {params['database']} and its roles")
    if not check_mode:
        if drops:
            with connected(client, params) as server:
                server.output(plan.removing_script(wanted_state(params, {})))
        for name in ours:
            client.delete("Secret", name)
    return result(texts, [])


def result(texts: list[str], statements: list[str]) -> dict[str, Any]:
    """Return what the module returns: sentences for what was changed, and statements without secrets."""
    told: dict[str, Any] = {"changed": bool(texts), "changes": texts}
    return told | ({"diff": {"prepared": "".join(f"{sql};\n" for sql in statements)}} if statements else {})


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Do what the options ask for, and return what the module returns. Raises a CloudDjangoError."""
    return (present if params["state"] == "present" else absent)(params, check_mode, client)
