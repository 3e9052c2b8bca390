# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes the further containers of a project's pods."""

DOCUMENTATION = r"""
name: project_containers
short_description: Compute the further containers of a project's pods
version_added: 0.1.0
description:
  - Returns the init containers of a pod. Sidecars are first, and each has C(restartPolicy=Always).
options:
  _input:
    description: Init containers by name, in the format of a pod.
    type: dict
    required: true
  sidecars:
    description: Containers that start before the project and stop after it, by name.
    type: dict
    required: true
  defaults:
    description: Fields of each container that it can replace.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print the sidecar of a pod
  ansible.builtin.debug:
    msg: "{{ {} | cloud_django.kubernetes.project_containers({'proxy': {'image': 'proxy:1'}}, {}) }}"
"""

RETURN = r"""
_value:
  description: The init containers.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.containers import init_containers


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by their names."""
        return {"project_containers": init_containers}
