# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect an image that the inventory gives, which no role builds, pushes, or removes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies, pods
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.registry import Registry, login_of, send

from .commands import parsed

Nodes = Callable[[str], list[dict[str, Any]]]


def inspect_given(run: Run, options: Mapping[str, Any], nodes: Nodes, is_reachable: bool = True) -> dict[str, Any]:
    """Return where an image is, which loads into nodes are due, and why pods cannot run it.

    Args:
        run: runs commands. Not used for the provider `registry`, because that needs no container engine.
        options: the option `image` of the module.
        nodes: returns the copies of an image on the nodes of a cluster on the control node.
        is_reachable: whether nodes can be inspected. Not in check mode on a control node without a container engine.
    """
    result: dict[str, Any] = {"engine": [], "nodes": [], "registry": {}, "id": "", "loads": [], "problem": ""}
    if options["state"] == "present" and options["provider"] == "registry":
        result |= _in_registry(options)
    elif options["state"] == "present" and is_reachable:
        result |= _on_nodes(run, options, nodes)
    # Each node pulls an image that the container engine does not have.
    delivered = options["provider"] == "registry" or (bool(result["nodes"]) and not result["loads"])
    without = [load["node"] for load in result["loads"] if load["image"] == options["reference"]]
    # No tags, because the role removes none.
    result |= {"built": True, "delivered": delivered, "nodes_without": without, "tags": 0}
    return result | {"settled": delivered and not result["problem"]}


def _in_registry(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the copy in the registry, if a digest is needed."""
    reference = options["reference"]
    if not options["pinned"] or "@" in reference:
        return {}
    login = login_of(reference, options["username"], options["password"], Path.home() / ".docker")
    registry = Registry(reference, login, partial(send, ca_file=options["ca_file"]))
    copy = registry.copy(with_config=options["user"] is None or not options["command"])
    if not copy:
        problem = f"Image {reference} is not in its registry. Push it, or correct app_image, {pods.AGAIN}."
        return {"problem": problem}
    return {"registry": copy, "problem": _problem(options, copy["config"])}


def _on_nodes(run: Run, options: Mapping[str, Any], nodes: Nodes) -> dict[str, Any]:
    """Return the copies in the container engine and on the nodes."""
    reference = options["reference"]
    code, output, _ = run(["docker", "image", "inspect", reference])
    image = {} if code else parsed(output, "docker image inspect")[0]
    identifier = image.get("Id", "")
    problem = _problem(options, pods.configuration(image.get("Config")) if image else {})
    if not image and reference.startswith("localhost/"):
        problem = (
            f"Image {reference} is neither in the container engine nor in a registry. Build it, or correct app_image, "
            f"{pods.AGAIN}."
        )
    found = nodes(tagged(reference))
    if options["provider"] == "minikube":
        found = copies.known_to(identifier, found, partial(copies.saved_configuration_id, reference))
    # An image with a digest cannot be loaded, because a loaded image has only a tag.
    without = [node["name"] for node in found if identifier not in node["ids"]] if "@" not in reference else []
    loads = [{"node": name, "image": reference} for name in without if identifier]
    loads += [{"node": node["name"], "image": name} for node in found for name in node["lacks"]]
    return {"nodes": found, "id": identifier, "loads": loads, "problem": problem}


def _problem(options: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    return pods.problem(options["reference"], config, options["user"], options["command"])


def tagged(reference: str) -> str:
    """Return a reference without its digest, and with a tag."""
    name = reference.partition("@")[0]
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
