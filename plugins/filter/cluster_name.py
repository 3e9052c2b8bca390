# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that names a cluster after the directory of its inventory."""

DOCUMENTATION = r"""
name: cluster_name
short_description: Name a cluster after the directory of its inventory
version_added: 0.1.0
description:
  - Returns C(cloud-django-) and the letters and digits of the directory's name, in lower case and separated by C(-).
    For a directory outside of a directory C(inventory), the first 8 hexadecimal digits of the SHA-256 of its path are
    appended, because two inventories may have the same name. Without a directory, returns C(cloud-django).
options:
  _input:
    description: Path of the directory of the inventory. Empty or None for hosts on the command line.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Print the default name of the cluster
  ansible.builtin.debug:
    msg: "{{ inventory_dir | cloud_django.kubernetes.cluster_name }}"
"""

RETURN = r"""
_value:
  description: Name of the cluster.
  type: str
  sample: cloud-django-kind
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any


def cluster_name(inventory_dir: str | None) -> str:
    """Return the name of the cluster of an inventory.

    Args:
        inventory_dir: the directory of the inventory. Empty or None for hosts on the command line.
    """
    if not inventory_dir:
        return "cloud-django"
    path = PurePosixPath(inventory_dir)
    words = ["cloud-django", *re.findall("[a-z0-9]+", path.name.lower())]
    if path.parent.name not in ("", "inventory"):
        words.append(hashlib.sha256(inventory_dir.encode()).hexdigest()[:8])
    return "-".join(words)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names."""
        return {"cluster_name": cluster_name}
