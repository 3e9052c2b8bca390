# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""A kind cluster on this machine: its nodes, how far it is, and how it differs from its variables."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run, kind_containers

from .commands import MachineError, at_once, copied, no_engine, parsed
from .version import image_version, refuse_present, refuse_wanted

# A managed node carries this mount, so that the incomplete cluster of another user is never removed.
MARK = "/etc/cloud-django-node"
# Written into the first node when the cluster is complete: a hash of what the role put into it, and the times at which
# its nodes started. Before that it begins with `made`. A cluster without the file was interrupted; one with other times
# was restarted, by the role or by the engine.
NOTE = "/kind/cloud-django-complete"
ADMIN = "/etc/kubernetes/admin.conf"


def inspect_kind(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a cluster. Raises MachineError if it is foreign, too old or has no engine."""
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
    # A release that was downloaded before may be another one, so it does not count as installed.
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
    """Return what the engine knows about each node, whether it runs or not."""
    code, output, error = run(kind_containers(name))
    if code:
        raise no_engine(error, f"cluster {name} cannot be looked at")
    identifiers = [line.split()[0] for line in output.splitlines() if line.strip()]
    if not identifiers:
        return []
    code, output, error = run(["docker", "container", "inspect", *identifiers])
    if code:
        raise no_engine(error, f"cluster {name} cannot be looked at")
    return parsed(output, "docker container inspect")


def foreign(name: str, state: str) -> MachineError:
    """Return the error for a cluster that another program created."""
    if state == "absent":
        return MachineError(
            f"Cluster {name} was not made by this role, so it is not removed: give another cluster_name, or remove it "
            f"yourself with `kind delete cluster --name {name}`."
        )
    return MachineError(
        f"Cluster {name} is there already and was not made by this role, so it is left alone: give another "
        "cluster_name, or deploy to it with cluster_provider existing."
    )


def refuse_old(options: Mapping[str, Any], state: str, found: list[dict[str, Any]]) -> None:
    """Raise MachineError for a cluster of a version that is too low, before it is made if the version is given."""
    wanted = options["node_image"] if state in ("missing", "incomplete") else ""
    if wanted:
        refuse_wanted(options, "cluster_node_image", wanted, image_version(wanted))
        return
    # Without a given image, only the new nodes show which one kind has chosen.
    for node in found:
        refuse_present(options, "cluster_node_image", image_version(node["Config"]["Image"]))


def state_of(found: list[dict[str, Any]], note: str | None, starts: list[str], content: str) -> str:
    """Return how far a cluster is."""
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
    """Return how the nodes differ from the variables, as clauses for people."""
    differences = []
    if len(found) != options["workers"] + 1:
        differences.append(f"it has {len(found) - 1} workers and cluster_workers is {options['workers']}")
    images = [node["Config"]["Image"] for node in found]
    if others := [image for image in images if image != options["node_image"]] if options["node_image"] else []:
        differences.append(f"its nodes run {others[0]} and cluster_node_image is {options['node_image']}")
    return differences


def endpoint(found: list[dict[str, Any]]) -> str:
    """Return the address of the API server as kind writes it into a kubeconfig; empty if no port is published."""
    # With several control planes, clients reach a load balancer.
    balancers_first = sorted(found, key=lambda node: not node["Name"].endswith("-external-load-balancer"))
    for node in balancers_first:
        for port in ((node.get("NetworkSettings") or {}).get("Ports") or {}).get("6443/tcp") or []:
            host = f"[{port['HostIp']}]" if ":" in port["HostIp"] else port["HostIp"]
            return f"https://{host}:{port['HostPort']}"
    return ""


def has_kubeconfig(path: str, entry: str, server: str, admin: str) -> bool:
    """Return whether a kubeconfig leads to `server` with the credentials of the kubeconfig in the node.

    This is what `kind get kubeconfig` would write, without its four further calls of the engine.
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
