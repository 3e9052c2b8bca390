# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect a kind cluster: its nodes, its state, and its configuration drift."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run, kind_containers

from .commands import MachineError, at_once, copied, no_engine, parsed
from .version import image_version, refuse_present, refuse_wanted

# Mount of a managed node, so that the incomplete cluster of another user is never removed.
MARK = "/etc/cloud-django-node"
# File in the first node of a complete cluster: a hash of what the role installs in it, and the start times of its
# nodes. Before that, it begins with `made`. A cluster without the file was interrupted. A cluster with other start
# times was restarted, by the role or by the container engine.
NOTE = "/kind/cloud-django-complete"
ADMIN = "/etc/kubernetes/admin.conf"


def inspect_kind(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a cluster. Raises MachineError if it is unmanaged, too old, or without a container engine."""
    name = options["name"]
    first = f"{name}-control-plane"
    found = at_once(
        {
            "nodes": partial(nodes, run, name),
            "note": partial(copied, run, first, NOTE),
            "admin": partial(copied, run, first, ADMIN),
        }
    )
    managed = any(mount.get("Destination") == MARK for node in found["nodes"] for mount in node.get("Mounts") or [])
    if found["nodes"] and not managed:
        raise foreign(name, options["state"])
    starts = sorted(node["State"]["StartedAt"] for node in found["nodes"])
    state = state_of(found["nodes"], found["note"], starts, options["content"])
    if options["state"] == "present":
        refuse_old(options, state, found["nodes"])
    # An earlier download may be another release of kind, so it does not count as installed.
    program = shutil.which(options["programs"][0])
    differences = [] if state in ("missing", "incomplete") else drift(found["nodes"], options)
    current = has_kubeconfig(options["kubeconfig"], f"kind-{name}", endpoint(found["nodes"]), found["admin"] or "")
    return {
        "installed": program is not None,
        "program": program or options["programs"][-1],
        "nodes": [node["Id"] for node in found["nodes"]],
        "started": starts,
        "state": state,
        "drift": differences,
        "kubeconfig": current,
        "settled": state == "complete" and current and not differences,
    }


def nodes(run: Run, name: str) -> list[dict[str, Any]]:
    """Return the container engine's description of each node, running or not."""
    code, output, error = run(kind_containers(name))
    if code:
        raise no_engine(error, f"cluster {name} cannot be inspected")
    identifiers = [line.split()[0] for line in output.splitlines() if line.strip()]
    if not identifiers:
        return []
    code, output, error = run(["docker", "container", "inspect", *identifiers])
    if code:
        raise no_engine(error, f"cluster {name} cannot be inspected")
    return parsed(output, "docker container inspect")


def foreign(name: str, state: str) -> MachineError:
    """Return the error for a cluster that this role did not create."""
    if state == "absent":
        return MachineError(
            f"Cluster {name}",
            "was not created by this role and is not removed",
            f"Set another cluster_name, or remove the cluster with `kind delete cluster --name {name}`, "
            "then rerun the playbook",
        )
    return MachineError(
        f"Cluster {name}",
        "already exists and was not created by this role",
        "Set another cluster_name, or deploy to the cluster with cluster_provider existing, then rerun the playbook",
    )


def refuse_old(options: Mapping[str, Any], state: str, found: list[dict[str, Any]]) -> None:
    """Raise MachineError for a cluster with a version that is too low, before its creation if the version is set."""
    wanted = options["node_image"] if state in ("missing", "incomplete") else ""
    if wanted:
        refuse_wanted(options, "cluster_node_image", wanted, image_version(wanted))
        return
    # Without node_image, only the new nodes show which image kind chose.
    for node in found:
        refuse_present(options, "cluster_node_image", image_version(node["Config"]["Image"]))


def state_of(found: list[dict[str, Any]], note: str | None, starts: list[str], content: str) -> str:
    """Return the state of a cluster, such as stopped or complete."""
    if not found:
        return "missing"
    if note is None:
        return "incomplete"
    if any(node["State"]["Status"] != "running" for node in found):
        return "stopped"
    kind, *times = note.split() or [""]
    if times != starts:
        return "restarted"
    return "complete" if kind == content else "ready"


def drift(found: list[dict[str, Any]], options: Mapping[str, Any]) -> list[str]:
    """Return how the nodes differ from the variables, as readable clauses."""
    differences = []
    if len(found) != options["workers"] + 1:
        differences.append(f"cluster_workers is {options['workers']}, but the cluster has {len(found) - 1}")
    images = [node["Config"]["Image"] for node in found]
    if others := [image for image in images if image != options["node_image"]] if options["node_image"] else []:
        differences.append(f"cluster_node_image is {options['node_image']}, but a node has {others[0]}")
    return differences


def endpoint(found: list[dict[str, Any]]) -> str:
    """Return the URL of the API server as kind writes it into a kubeconfig. Empty if no port is published."""
    # With several control planes, clients connect to a load balancer.
    balancers_first = sorted(found, key=lambda node: not node["Name"].endswith("-external-load-balancer"))
    for node in balancers_first:
        for port in ((node.get("NetworkSettings") or {}).get("Ports") or {}).get("6443/tcp") or []:
            host = f"[{port['HostIp']}]" if ":" in port["HostIp"] else port["HostIp"]
            return f"https://{host}:{port['HostPort']}"
    return ""


def has_kubeconfig(path: str, entry: str, server: str, admin: str) -> bool:
    """Return whether a kubeconfig leads to `server` with the credentials of the kubeconfig in the node.

    `kind get kubeconfig` would write the same, but with four more calls of the container engine.
    """
    try:
        ours, theirs = (yaml.safe_load(text) for text in (Path(path).read_text(encoding="utf-8"), admin))
        cluster = next(each["cluster"] for each in ours["clusters"] if each["name"] == entry)
        user = next(each["user"] for each in ours["users"] if each["name"] == entry)
        return (
            any(each["name"] == entry for each in ours["contexts"])
            and cluster["server"] == server
            and cluster["certificate-authority-data"] == theirs["clusters"][0]["cluster"]["certificate-authority-data"]
            and user == theirs["users"][0]["user"]
        )
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, StopIteration):
        return False
