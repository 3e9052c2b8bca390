# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Bounds of numbers, node ports, resources, sizes, and names of objects in the variables of a site."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import addresses
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.quantity import parse

# Bounds of numbers. Other numbers have the minimum 0 and no maximum.
LIMITS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("postgresql_port", "database_port", "web_node_port", "cache_port"), (1, 65535)),
    # Pods have no capability to listen on lower ports.
    "web_port": (1024, 65535),
    **dict.fromkeys(
        ("postgresql_user_id", "database_client_user_id", "django_user_id", "django_group_id", "cache_user_id"),
        (1, 2**31 - 1),
    ),
    **dict.fromkeys(
        ("web_timeout", "web_after_timeout", "postgresql_timeout", "migrations_timeout", "superuser_timeout"), (1, None)
    ),
    "processes_timeout": (1, None),
    **dict.fromkeys(("web_threads", "web_replicas_cpu_target", "postgresql_certificate_days"), (1, None)),
    **dict.fromkeys(("postgresql_ca_days", "cache_ca_days", "cache_certificate_days", "cache_timeout"), (1, None)),
    "postgresql_max_connections": (1, 262143),
    "cache_databases": (1, 10000),
    "web_session_affinity_seconds": (0, 86400),
}
RESOURCES = [f"{name}_resources" for name in ("postgresql", "cache", "migrations", "superuser", "web", "web_front")]
# Names of objects that the user creates.
OBJECTS = ["postgresql_storage_class", "cache_storage_class"]
OBJECTS += ["web_ingress_class", "web_ingress_tls_secret", "web_front_tls_secret"]
PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
# Sizes of volumes and memory.
SIZES = ["postgresql_storage_size", "cache_storage_size", "cache_memory", "django_tmp_size"]


def errors(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in the numbers, resources, sizes, and names of objects."""
    for name, value in values.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield from number(name, value)
    for name in RESOURCES:
        if name in values:
            yield from resources(name, values[name])
    for name in OBJECTS:
        yield from object_name(name, values.get(name) or "")
    for name in SIZES:
        if name in values:
            yield from size(name, values[name])


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


def object_name(name: str, value: str) -> Iterator[str]:
    """Yield an error if a name of an object is not valid."""
    if value and (len(value) > addresses.LONGEST_HOST or not all(map(addresses.LABEL.fullmatch, value.split(".")))):
        yield (
            f"{name} is {shown(value)}, which is not a valid name of an object: names have lowercase letters, digits, "
            "hyphens, and dots. Write the name that kubectl lists."
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


def size(name: str, value: str) -> Iterator[str]:
    """Yield an error if a size is not a quantity above 0."""
    try:
        number = parse(value)
    except ValueError as error:
        yield f"{name}: {error}"
    else:
        if number <= 0:
            yield f"{name} is {shown(value)}. Set a size above 0, for instance 10Gi."
