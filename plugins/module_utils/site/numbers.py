# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for numbers and quantities: bounds, node ports, and the resources of containers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.quantity import parse

# Bounds of numbers. Other numbers have the minimum 0 and no maximum.
LIMITS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("postgresql_port", "database_port", "web_port", "web_node_port"), (1, 65535)),
    **dict.fromkeys(("postgresql_user_id", "database_client_user_id", "django_user_id"), (1, 2**31 - 1)),
    **dict.fromkeys(("web_timeout", "postgresql_timeout", "migrations_timeout", "superuser_timeout"), (1, None)),
    **dict.fromkeys(("web_threads", "web_replicas_cpu_target", "postgresql_certificate_days"), (1, None)),
    "postgresql_ca_days": (1, None),
    "postgresql_max_connections": (1, 262143),
    "web_session_affinity_seconds": (0, 86400),
}
PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")


def number(name: str, value: int) -> Iterator[str]:
    """Yield an error if a number is too small or too large."""
    least, most = LIMITS.get(name, (0, None))
    if value < least or (most is not None and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"
        yield f"{name} is {value}. Set a number {bounds}."


def node_port(port: int, ports: str) -> Iterator[str]:
    """Yield an error if a node port is outside of the cluster's range, or the range is invalid."""
    found = PORT_RANGE.fullmatch(ports)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        yield f"web_node_port_range is {shown(ports)}, which is not a range. Set for instance 30000-32767."
    # Errors of the bounds are reported already.
    elif not first <= port <= last and not list(number("web_node_port", port)):
        yield (
            f"web_node_port is {port}, outside of the cluster's range {ports}. Set a port of this range. If "
            "kube-apiserver has another --service-node-port-range, set web_node_port_range to it."
        )


def resources(name: str, value: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for quantities that Kubernetes refuses, and for requests above their limits."""
    amounts: dict[tuple[str, str], Any] = {}
    for part in ("requests", "limits"):
        held = value.get(part) or {}
        if not isinstance(held, Mapping):
            yield f"{name}.{part} is {shown(held)}, not a dictionary. Set for instance {{cpu: 100m, memory: 256Mi}}."
            continue
        for resource, amount in held.items():
            try:
                amounts[part, resource] = parse(amount)
            except ValueError as error:
                yield f"{name}.{part}.{resource}: {error}"
    for part, resource in amounts:
        limit = amounts.get(("limits", resource))
        if part == "requests" and limit is not None and amounts[part, resource] > limit:
            requested, allowed = value["requests"][resource], value["limits"][resource]
            yield f"{name} requests {requested} of {resource}, above the limit of {allowed}. Change one of them."
