# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""A Lease of which one run at a time is the holder: take, renew, and release it."""

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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError

# In seconds: how long a Lease is valid without a renewal, and how often that of another run is read.
DURATION = 30
PAUSE = 0.5
# For a renewal, connecting and reading, in seconds: the next one is worth more than waiting for this one.
LIMIT = (3.0, 5.0)
# In seconds. Clocks differ, but hardly by so much: a Lease that old has no holder.
LONG_AGO = 900
# Outcomes of `take` after which the Lease has to be renewed and released.
TAKEN = ("taken", "waited")


@dataclass(frozen=True)
class Wanted:
    """The Lease that a run wants."""

    name: str
    holder: str
    labels: Mapping[str, str]


def holder_of(process: int) -> str:
    """Return how a process is called in a Lease and in a sentence: two of them never have the same name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {process}, started {start_of(process)})"


def start_of(process: int) -> str:
    """Return when a process started, in UTC; its number alone may be that of an earlier one."""
    with suppress(OSError, IndexError, ValueError):
        ticks = int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
        return datetime.fromtimestamp(round(started), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return "some time ago"


def now() -> str:
    """Return the time as the API writes it in a Lease."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age(renewed: str) -> float:
    """Return how many seconds ago a Lease was renewed, by the clocks of both; 0 if it does not say."""
    with suppress(ValueError):
        return (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
    return 0.0


def take(client: Client, wanted: Wanted, patience: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """Take the Lease, waiting for another run to end if need be.

    Returns `taken`, `waited` if another run had it first, `held` if it was ours before, or `none` if there is no
    namespace to have it in. Raises ApiError if another run holds it for longer than `patience` seconds. Whether the
    other one still lives is told by its renewals and by our own clock, since clocks differ.
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
                            f"The run that this one waited for has removed namespace {client.namespace}. "
                            "Rerun the playbook."
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
                f"Another run is changing namespace {client.namespace}: that of {holder}. "
                "Wait until it is done, then rerun the playbook."
            )
        sleep(PAUSE)


def create(client: Client, wanted: Wanted) -> bool:
    """Make the Lease; False if another run was faster, or if there is no namespace."""
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
    """Make a Lease that has not changed since ours; False if it has."""
    spec = {"holderIdentity": wanted.holder, "leaseDurationSeconds": DURATION, "acquireTime": now(), "renewTime": now()}
    operations = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/spec", "value": spec},
    ]
    return change(client, wanted.name, operations)


def renew(client: Client, wanted: Wanted) -> bool:
    """Say that we still hold it; False if it is gone or another's."""
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
    """Tell whether an object passes a test of a JSON patch; what is no test passes."""
    value: Any = found
    for part in operation["path"].strip("/").split("/"):
        value = (value or {}).get(part)
    return operation["op"] != "test" or value == operation["value"]


def release(client: Client, wanted: Wanted) -> None:
    """Remove the Lease if it is ours."""
    found = client.get("Lease", wanted.name)
    if found is None or found["spec"].get("holderIdentity") != wanted.holder:
        return
    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": version}
    client.request("delete", client.path("Lease", wanted.name), body=body)
