# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Claims and their volumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError

from .model import Obj

POLL_SECONDS = 0.25


def complaint(name: str, claim: Obj, events: Sequence[Obj], seconds: float) -> str:
    """Return the sentence for a claim that has no volume."""
    # A warning says more than the controller's remark that it waits.
    told = [event for event in events if event.get("type") == "Warning"] or list(events)
    reason = short(told[-1].get("message")) if told else "nothing tells why"
    kind = claim["spec"].get("storageClassName") or "none"
    return (
        f"Claim {name} has no volume after {seconds:g} s, and its storage class is {kind}: {reason}. "
        "Mend the class's provisioner or set another class, remove the claim, then run the playbook again."
    )


def wait_until_bound(client: Client, name: str, timeout: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the name of the claim's volume as soon as there is one. Raises ApiError."""
    until = time.monotonic() + timeout
    while True:
        claim = client.get("PersistentVolumeClaim", name)
        if claim is None:
            raise ApiError(f"Claim {name} in namespace {client.namespace} does not exist. Run the playbook again.")
        phase = claim.get("status", {}).get("phase")
        if phase == "Bound":
            return claim["spec"]["volumeName"]
        if phase == "Lost":
            raise ApiError(
                f"Volume {claim['spec'].get('volumeName')} of claim {name} was removed behind its back. Restore it, "
                "or remove the claim to begin with an empty one, then run the playbook again."
            )
        if time.monotonic() >= until:
            raise ApiError(complaint(name, claim, client.events("PersistentVolumeClaim", name), timeout))
        sleep(POLL_SECONDS)
