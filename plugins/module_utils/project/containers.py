# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Further containers of the pods of a project."""

from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]


def init_containers(init: Mapping[str, Any], sidecars: Mapping[str, Any], defaults: Obj) -> list[Obj]:
    """Return the init containers of a pod: sidecars first, because the other ones may need them.

    Args:
        init: containers that end before the project starts, by name.
        sidecars: containers that start before the project and stop after it, by name.
        defaults: fields of each container that it can replace, such as a restricted security context.
    """
    always = {"restartPolicy": "Always"}
    found = [container(name, entry, defaults | always) for name, entry in sidecars.items() if entry]
    return found + [container(name, entry, defaults) for name, entry in init.items() if entry]


def container(name: str, entry: Mapping[str, Any], defaults: Obj) -> Obj:
    """Return a container with the fields that its entry does not set."""
    security = defaults.get("securityContext", {}) | dict(entry.get("securityContext") or {})
    return {"name": name, **defaults, **entry, "securityContext": security}
