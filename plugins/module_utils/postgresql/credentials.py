# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Passwords and certificates of a PostgreSQL server: their Secrets, and their use in a running server."""

from datetime import datetime
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import is_ours
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    Step,
    manifest,
    random_text,
    refuse_unreadable,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import preflight, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready

# Values of the Secrets, by the suffix of their names.
Values = dict[str, dict[str, str]]


def steps(params: dict[str, Any], held: Values, now: datetime) -> list[Step]:
    """Return the Secrets to write. Raises ManifestError if a value is missing that only the user can provide."""
    external, name, admin = params["external"], params["name"], held.get("admin", {})
    if external and not params["administrator"]:
        return external_authority(params, held.get("ca", {}))
    password = params["admin_password"] or admin.get("password") or ("" if external else random_text())
    if not password:
        thing = f"Secret {name}-admin with username and password of the external server's administrator"
        raise ManifestError(thing, "is missing", f"Create it, or set postgresql_admin_password, {AGAIN}")
    # PostgreSQL ignores a line feed at the end of the password in a Secret that the user created.
    refuse_unreadable("The password of the administrator", params["admin_password"] or password.rstrip("\r\n"))
    kept = admin.get("username") if external and not params["admin_password"] else ""
    values = {"username": kept or params["admin_username"], "password": password}
    refuse_unreadable("The name of the administrator", values["username"])
    todo = []
    if values != {key: admin.get(key) for key in values}:
        todo.append(Step("admin", values, f"{'change' if admin else 'create'} the administrator's password"))
    if external:
        return todo + external_authority(params, held.get("ca", {}))
    return todo + certificates.renewals(params, held, now, "postgresql")


def external_authority(params: dict[str, Any], held: dict[str, str]) -> list[Step]:
    """Return the Secret of an external server's certificate authority if it differs."""
    if not params["authority"]:
        return []
    wanted = params["ca_certificate"] or held.get("tls.crt", "")
    if not wanted:
        thing = f"Secret {params['name']}-ca with the external server's certificate authority as tls.crt"
        raise ManifestError(thing, "is missing", f"Create it, or set postgresql_ca_certificate, {AGAIN}")
    text = "store the server's certificate authority"
    return [Step("ca", {"tls.crt": wanted}, text)] if held.get("tls.crt") != wanted else []


def suffixes_of(params: dict[str, Any]) -> tuple[str, ...]:
    """Return the suffixes of the Secrets that the module manages."""
    if not params["external"]:
        return tuple(preflight.KEYS)
    return (*(("admin",) if params["administrator"] else ()), *(("ca",) if params["authority"] else ()))


def running_server(client: Client, params: dict[str, Any]) -> Server | None:
    """Return the server in the cluster. None if it does not run."""
    pod = client.get("Pod", f"{params['name']}-0")
    if not is_pod_ready(pod) or not is_ours(pod):
        return None
    name = pod["metadata"]["name"]
    return Server(client, name, params["container"], f"in pod {name}")


def run(params: dict[str, Any], check_mode: bool, client: Client, now: datetime | None = None) -> dict[str, Any]:
    """Manage the Secrets, and return the result of the module. Raises ManifestError or ServerError."""
    namespace, external = params["namespace"], params["external"]
    # Only check mode accepts a missing namespace, in which the user may have no permission to read.
    exists = not check_mode or client.namespace_exists()
    suffixes = suffixes_of(params) if exists else ()
    held = preflight.values_of(preflight.read_secrets(client, params["name"], suffixes), namespace, external)
    todo = steps(params, held, now or certificates.current_time())
    wanted = held | {step.suffix: step.values for step in todo}
    server = running_server(client, params) if exists and not external else None
    admin = wanted["admin"]["username"] if server else ""
    state = server.state(admin) if server else {}
    if server and not state["admin"]:
        step = f"Restore the postgresql_admin_username with which the volume was created, {AGAIN}"
        raise ServerError(f"The server in pod {server.pod}", f"has no role {admin}", step)
    changes = [step.text for step in todo]
    if not check_mode:
        for step in todo:
            client.apply(manifest(f"{params['name']}-{step.suffix}", namespace, params["labels"], step.values))
    if server and not scram.fits(wanted["admin"]["password"], state["verifier"]):
        changes.append("set the administrator's password on the server")
        if not check_mode:
            server.set_password(admin, scram.verifier(wanted["admin"]["password"]))
    if server and (state["certificate"] != wanted["tls"]["tls.crt"] or not state["loaded"]):
        changes.append("reload the server's certificate")
        if not check_mode:
            server.load_certificate(wanted["tls"]["tls.crt"], params["reload_timeout"])
    return {"changed": bool(changes), "changes": changes}
