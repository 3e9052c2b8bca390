# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Reconcile a database, its roles, its grants, and the Secrets of the roles."""

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import is_ours
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import random_text
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import (
    catalog,
    given,
    login_secrets,
    logins,
    plan,
    scram,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import Role, Wanted
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.logins import Endpoint
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.plan import Change
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server

PASSES = 3


def wanted_secrets(params: dict[str, Any], wanted: Wanted, endpoint: Endpoint) -> dict[str, dict[str, str]]:
    """Return the wanted values of each role's Secret."""
    return {
        option["secret"]: endpoint.values(role.name, role.password, wanted.owner if role.access == "owner" else "")
        for option, role in zip(params["roles"], wanted.roles, strict=True)
    }


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
        logins.refuse_unfit(f"The password of role {option['name']}", password)
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


def present(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Reconcile database, roles, grants, and Secrets, and return the result of the module."""
    held = login_secrets.held(client, params, ("username", "password"))
    wanted = wanted_state(params, held)
    # In check mode, the server or the objects that a client pod needs may not exist yet.
    if not params["client_pod"] or check_mode:
        readable = login_secrets.is_readable(client, params)
        if not readable and check_mode:
            changes = changes_for(wanted, catalog.nothing(connections=params["expected_connections"]), None)
            return login_secrets.result([change.text for change in changes], [change.shown for change in changes])
        if not readable:
            thing = f"The database server in pod {params['pod']} of namespace {client.namespace}"
            raise ServerError(thing, "is not ready", f"Run playbooks/site.yml --tags postgresql, {AGAIN}")
    endpoint = login_secrets.endpoint(client, params, params["owner"])
    with login_secrets.connected(client, params) as server:
        changes = reconcile(wanted, server, check_mode)
    texts = [change.text for change in changes]
    texts += login_secrets.write(client, params, held, wanted_secrets(params, wanted, endpoint), check_mode)
    return login_secrets.result(texts, [change.shown for change in changes])


def absent(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Remove managed objects. The database of an external server is dropped only while its Secrets exist."""
    found = {role["secret"]: client.get("Secret", role["secret"]) for role in params["roles"]}
    managed = [name for name, secret in found.items() if secret and is_ours(secret)]
    texts = [f"remove Secret {name}" for name in managed]
    drops = bool(params["client_pod"] and managed and params["access"] == "managed")
    if drops:
        texts.insert(0, f"drop database {params['database']} and its roles")
    if not check_mode:
        if drops:
            with login_secrets.connected(client, params) as server:
                server.output(plan.removing_script(wanted_state(params, {})))
        for name in managed:
            client.delete("Secret", name)
    return login_secrets.result(texts, [])


def run(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Create or remove the database, and return the result of the module. Raises a CloudDjangoError."""
    if params["state"] == "absent":
        return absent(params, check_mode, client)
    return (given.present if params["access"] == "given" else present)(params, check_mode, client)
