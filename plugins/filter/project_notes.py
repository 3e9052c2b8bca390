# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that states what the volumes of a project cost."""

DOCUMENTATION = r"""
name: project_notes
short_description: State what the volumes of a project cost
version_added: 0.1.0
description:
  - Returns one sentence if volumes in C(django_volumes) bind their pods to one node, and none otherwise.
options:
  _input:
    description: Volumes by name.
    type: dict
    required: true
  nodes:
    description: Number of nodes of the cluster. V(0) means that it is unknown.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Print the cost of a volume
  ansible.builtin.debug:
    msg: "{{ {'media': {'path': '/app/media', 'size': '1Gi'}} | cloud_django.kubernetes.project_notes(3) }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""

from collections.abc import Callable

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.volumes import notes


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by their names."""
        return {"project_notes": notes}
