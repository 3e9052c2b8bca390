# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The version of Kubernetes of a cluster on this machine, as a setting or a tag spells it."""

import re
from collections.abc import Mapping
from typing import Any

from .commands import MachineError

# Of other images, the tag may count something else.
NODE_IMAGE = re.compile(r"(?:^|/)(?:kindest|cloud-django)/node:(v\d+\.\d+\.\d+)")
VERSION = re.compile(r"v?(\d+)\.(\d+)(?![0-9])")


def image_version(image: str) -> str:
    """Return the version in the name of a node image of kind; empty for an image that has no known name."""
    match = NODE_IMAGE.search(image)
    return match[1] if match else ""


def is_lower(version: str, minimum: str) -> bool:
    """Return whether a version is lower than the minimum; a word such as stable, or no minimum, never is."""
    found, least = VERSION.match(version), VERSION.match(minimum)
    return bool(found and least) and tuple(map(int, found.groups())) < tuple(map(int, least.groups()))


def refuse_wanted(options: Mapping[str, Any], setting: str, value: str, version: str) -> None:
    """Raise MachineError if the cluster that a setting describes would be too old for the site."""
    if is_lower(version, options["minimum_version"]):
        raise MachineError(
            f"Cluster {options['name']} was not made, because {setting} is {value} and the site needs Kubernetes "
            f"{options['minimum_version']} or later: set {setting} to a later version, or leave it empty."
        )


def refuse_present(options: Mapping[str, Any], setting: str, version: str) -> None:
    """Raise MachineError if the cluster that exists is too old for the site."""
    if is_lower(version, options["minimum_version"]):
        raise MachineError(
            f"Cluster {options['name']} has Kubernetes {version.removeprefix('v')}, and the site needs "
            f"{options['minimum_version']} or later: give another cluster_name, or remove this cluster and its data "
            f"with `make down`, and run this again with a later {setting}."
        )
