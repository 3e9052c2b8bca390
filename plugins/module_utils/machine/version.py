# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Kubernetes versions of kind and minikube clusters, as in a setting or an image tag."""

import re
from collections.abc import Mapping
from typing import Any

from .commands import MachineError

# The tag of other images may not be a Kubernetes version.
NODE_IMAGE = re.compile(r"(?:^|/)(?:kindest|cloud-django)/node:(v\d+\.\d+\.\d+)")
VERSION = re.compile(r"v?(\d+)\.(\d+)(?![0-9])")


def image_version(image: str) -> str:
    """Return the version in the name of a kind node image. Empty for an unknown name."""
    match = NODE_IMAGE.search(image)
    return match[1] if match else ""


def is_lower(version: str, minimum: str) -> bool:
    """Return whether a version is lower than the minimum. False for a word such as stable, or without a minimum."""
    found, least = VERSION.match(version), VERSION.match(minimum)
    return bool(found and least) and tuple(map(int, found.groups())) < tuple(map(int, least.groups()))


def refuse_wanted(options: Mapping[str, Any], setting: str, value: str, version: str) -> None:
    """Raise MachineError if the cluster that a setting describes would be too old for the site."""
    if is_lower(version, options["minimum_version"]):
        raise MachineError(
            f"Cluster {options['name']}",
            f"was not created: {setting} is {value}, but the site needs Kubernetes {options['minimum_version']} or "
            "later",
            f"Set {setting} to a later version or leave it empty, then rerun the playbook",
        )


def refuse_present(options: Mapping[str, Any], setting: str, version: str) -> None:
    """Raise MachineError if the cluster that exists is too old for the site."""
    if is_lower(version, options["minimum_version"]):
        raise MachineError(
            f"Cluster {options['name']}",
            f"has Kubernetes {version.removeprefix('v')}, but the site needs {options['minimum_version']} or later",
            "Set another cluster_name, or remove this cluster and its data with `make down`, "
            f"then rerun the playbook with a later {setting}",
        )
