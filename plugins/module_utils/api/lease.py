# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lease that only one run at a time can hold: acquire, renew, and release it."""

import getpass
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError

# Seconds that a Lease is valid without a renewal, and seconds between two reads of another run's Lease.
DURATION = 30
PAUSE = 0.5
# Seconds to connect and to read for a renewal. They are short, because the next attempt is better than a long wait.
LIMIT = (3.0, 5.0)
# Seconds. Clocks hardly differ by this much, so an older Lease has no holder.
LONG_AGO = 900
# Outcomes of `take` that require renewals and a release.
TAKEN = ("taken", "waited")


@dataclass(frozen=True)
class Wanted:
    """The Lease that a run wants."""

    name: str
    holder: str
    labels: Mapping[str, str]


def holder_of(process: int) -> str:
    """Return the unique name of a process for the Lease and for messages."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {process}, started {start_of(process)})"


def start_of(process: int) -> str:
    """Return the start time of a process in UTC, because an earlier process may have had the same PID."""
    with suppress(OSError, IndexError, ValueError):
        ticks = int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
        return datetime.fromtimestamp(round(started), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return "at an unknown time"


def now() -> str:
    """Return the current time in the format of a Lease."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age(renewed: str) -> float:
    """Return the seconds since a Lease was renewed, by the clocks of both runs; 0 if the time is unknown."""
    with suppress(ValueError):
        return (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
    return 0.0


def take(client: Client, wanted: Wanted, patience: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """Acquire the Lease, after another run has finished if necessary.

    Returns `taken`, `waited` if another run held it before, `held` if this run held it before, or `none` if the
    namespace does not exist. Raises ApiError if another run holds it for longer than `patience` seconds. Another run is
    alive as long as its renewals arrive by this run's clock, because clocks differ.
    """
    started = time.monotonic()
    seen, since = "", started
    was_held = False
    while True:
        found = client.get("Lease", wanted.name)
        if found is None:
            if not create(client, wanted):
                if not client.namespace_exists():
                    if was_held:
                        raise ApiError(
                            f"Another run has removed namespace {client.namespace} meanwhile. Rerun the playbook."
                        )
                    return "none"
                continue
            return "waited" if was_held else "taken"
        spec = found.get("spec") or {}
        holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
        if holder == wanted.holder:
            return "held"
        was_held = True
        if seen != holder + renewed:
            seen, since = holder + renewed, time.monotonic()
        silent = max(time.monotonic() - since, 0 if age(renewed) < LONG_AGO else LONG_AGO)
        is_over = not holder or silent > (spec.get("leaseDurationSeconds") or DURATION)
        if is_over and patch(client, wanted, found["metadata"]["resourceVersion"]):
            return "waited"
        if time.monotonic() - started > patience:
            raise ApiError(
                f"Namespace {client.namespace} is locked by another run: {holder}. Wait for it to finish, {AGAIN}."
            )
        sleep(PAUSE)


def create(client: Client, wanted: Wanted) -> bool:
    """Create the Lease; return False if another run was faster or the namespace does not exist."""
    spec = {"holderIdentity": wanted.holder, "leaseDurationSeconds": DURATION, "acquireTime": now(), "renewTime": now()}
    metadata = {"name": wanted.name, "namespace": client.namespace, "labels": dict(wanted.labels)}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    try:
        client.create(body)
    except ApiError as error:
        if error.status != 404 and client.get("Lease", wanted.name) is None:
            raise
        return False
    return True


def patch(client: Client, wanted: Wanted, version: str) -> bool:
    """Take over a Lease of this version; return False if it has changed since."""
    spec = {"holderIdentity": wanted.holder, "leaseDurationSeconds": DURATION, "acquireTime": now(), "renewTime": now()}
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/spec", "value": spec},
    ]
    return change(client, wanted.name, operations)


def renew(client: Client, wanted: Wanted) -> bool:
    """Renew the Lease; return False if it was removed or another run holds it."""
    operations = [
        {"op": "test", "path": "/spec/holderIdentity", "value": wanted.holder},
        {"op": "replace", "path": "/spec/renewTime", "value": now()},
    ]
    return change(client, wanted.name, operations, _request_timeout=LIMIT)


def change(client: Client, name: str, operations: list[dict[str, Any]], **params: Any) -> bool:
    path = client.path("Lease", name)
    try:
        kind = "application/json-patch+json"
        return client.request("patch", path, body=operations, content_type=kind, **params) is not None
    except ApiError:
        found = client.request("get", path, **params)
        if found is not None and all(holds(found, operation) for operation in operations):
            raise
        return False


def holds(found: Mapping[str, Any], operation: Mapping[str, Any]) -> bool:
    """Return whether an object passes an operation of a JSON patch; operations other than tests pass."""
    value: Any = found
    for part in operation["path"].strip("/").split("/"):
        value = (value or {}).get(part)
    return operation["op"] != "test" or value == operation["value"]


def release(client: Client, wanted: Wanted) -> None:
    """Remove the Lease if this run holds it."""
    found = client.get("Lease", wanted.name)
    if found is None or found["spec"].get("holderIdentity") != wanted.holder:
        return
    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": version}
    client.request("delete", client.path("Lease", wanted.name), body=body)
