# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Which tags of an image can be removed, from the engine and from the nodes of a cluster."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run


def removals(run: Run, parameters: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return what is to be removed: the place, the reference, and the command that does it."""
    repository, _ = copies.split(parameters["reference"])
    keep = parameters["keep"]
    wanted = set(parameters["used"]) | ({parameters["reference"]} if keep else set())
    newest_first = [image["reference"] for image in copies.engine_images(run, repository)]
    found = [
        ("engine", reference, ["docker", "image", "rm", reference])
        for reference in copies.outdated(newest_first, newest_first, wanted, keep)
    ]
    for node in copies.kind_nodes(run, parameters["kind_cluster"]) if parameters["kind_cluster"] else []:
        inside = ["docker", "exec", node, "ctr", "--namespace=k8s.io", "images"]
        code, output, error = run([*inside, "ls"])
        if code:
            raise copies.CopiesError(f"Node {node} cannot list its images: {copies.last_line(error)}.")
        names = copies.names_of(copies.parse_listing(output), repository)
        tags = {f"{repository}:{name.rpartition(':')[2]}": every for name, every in names.items()}
        old = copies.outdated(tags, newest_first, wanted, keep)
        # Two tags can be one image; its other name must stay as long as one of them does.
        shared = {name for tag, every in tags.items() if tag not in old for name in every}
        found += [(node, tag, [*inside, "rm", *(name for name in tags[tag] if name not in shared)]) for tag in old]
    if parameters["minikube_profile"]:
        command, nodes = copies.minikube_command(parameters), copies.minikube_nodes(parameters)
        # minikube removes from all nodes at once.
        tags = {
            tag
            for node in copies.minikube_copies(run, command, nodes, parameters["reference"])
            for tag in node["references"]
        }
        old = copies.outdated(tags, newest_first, wanted, keep)
        found += [(parameters["minikube_profile"], tag, [*command, "image", "rm", tag]) for tag in old]
    return found


def left_over(run: Run, parameters: dict[str, Any], removed: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return what a profile of minikube still has of what was removed: it ends well whatever became of that."""
    profile = parameters["minikube_profile"]
    asked = [entry for entry in removed if entry["place"] == profile]
    if not profile or not asked:
        return []
    command, nodes = copies.minikube_command(parameters), copies.minikube_nodes(parameters)
    nodes_left = copies.minikube_copies(run, command, nodes, parameters["reference"])
    there = {tag for node in nodes_left for tag in node["references"]}
    return [entry for entry in asked if entry["reference"] in there]
