# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Whether the hardened pods of a site can run an image, by the configuration in the image."""

from collections.abc import Mapping
from typing import Any

# Fields of an image's configuration, as in the OCI image specification and the output of `docker image inspect`.
FIELDS = ("User", "ExposedPorts")
FIRST_PORT = 1024
AGAIN = "then rerun the playbook"


def configuration(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of a configuration that decide whether pods can run the image. Empty if it is unknown."""
    if config is None:
        return {}
    return {"User": ""} | {name: value for name in FIELDS if (value := config.get(name))}


def problem(reference: str, config: Mapping[str, Any], user: int | None, command: bool) -> str:
    """Return why pods cannot run an image, with the next step; empty if they can.

    Args:
        reference: the image.
        config: the configuration. Empty if it is unknown.
        user: UID that the pods set. None for the image's own.
        command: whether the pods set a command or arguments.
    """
    if not config:
        return ""
    return (_user_problem(reference, config) if user is None else "") or (
        "" if command else _port_problem(reference, config)
    )


def _user_problem(reference: str, config: Mapping[str, Any]) -> str:
    """Return why Kubernetes refuses the image's user in a pod that must not run as root."""
    user = str(config.get("User") or "").partition(":")[0]
    if user in ("", "0", "root"):
        return (
            f"Image {reference} runs as root, which its pods do not allow. Set django_user_id to a number, for example "
            f"10001, or add `USER 10001` to its Dockerfile, {AGAIN}."
        )
    if not user.isdecimal():
        return f'Image {reference} runs as "{user}", a name. Set django_user_id to its number, {AGAIN}.'
    return ""


def _port_problem(reference: str, config: Mapping[str, Any]) -> str:
    """Return why the image's own command cannot serve the site."""
    ports = sorted(int(number) for name in config.get("ExposedPorts") or {} if (number := name.partition("/")[0]))
    # Pods have no capability to listen there. With several ports, the image may listen on a higher one.
    if ports and ports[-1] < FIRST_PORT:
        return (
            f"Image {reference} listens on port {ports[-1]}, but its pods cannot listen on ports below {FIRST_PORT}. "
            f"Set web_command so that the server listens on web_port, {AGAIN}."
        )
    return ""
