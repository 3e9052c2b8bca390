# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The address that a load balancer gives to a Service."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

from .model import Obj, event_time

PAUSE = 0.5
# Seconds within which a load balancer controller starts to manage a Service, which an event or a finalizer shows.
SILENCE = 30.0
STEP = "Install a load balancer controller, or set web_service_type to NodePort, or app_public_url to the address"


def address_of(service: Obj) -> str:
    """Return the first host name or IP address of a Service's load balancer. Empty if there is none yet."""
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return next((entry.get("hostname") or entry.get("ip") or "" for entry in entries), "")


def last_event_message(client: Client, name: str) -> str:
    """Return the message of the last event about a Service. Empty if there is none, or no permission to read it."""
    events: list[Obj] = []
    with contextlib.suppress(ApiError):
        events = sorted(client.events("Service", name), key=event_time)
    return short(events[-1].get("message")) if events else ""


def run(
    params: dict[str, Any], check_mode: bool, client: Client, sleep: Callable[[float], Any] = time.sleep
) -> dict[str, Any]:
    """Return the result of the module. Raises ApiError if the Service gets no address in time."""
    name, timeout, pace = params["name"], params["timeout"], Pace()
    while True:
        service = client.get("Service", name)
        address = address_of(service or {})
        if address or check_mode or service is None:
            return {"address": address}
        is_over = pace.seconds >= timeout
        if is_over or pace.is_due or pace.seconds >= SILENCE:
            message = last_event_message(client, name)
            is_managed = message or service["metadata"].get("finalizers")
            if is_over or (pace.seconds >= SILENCE and not is_managed):
                reason = f"has no load balancer address after {pace.seconds:.0f} s"
                raise ApiError(
                    f"Service {name}", f"{reason}: {message or 'no controller manages it'}", f"{STEP}, {AGAIN}"
                )
            pace.tell(f"Service {name} has no load balancer address{message and f': {message}'}")
        sleep(PAUSE)
