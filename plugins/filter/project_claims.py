# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes the volume claims of a project."""

DOCUMENTATION = r"""
name: project_claims
short_description: Compute the volume claims of a project
version_added: 0.1.0
description:
  - Returns the manifests of the claims that C(django_volumes) creates, for their removal.
options:
  _input:
    description: Volumes by name.
    type: dict
    required: true
  app:
    description: Name of the site.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Print the claim of uploads
  ansible.builtin.debug:
    msg: "{{ {'media': {'path': '/app/media', 'size': '1Gi'}} | cloud_django.kubernetes.project_claims('shop') }}"
"""

RETURN = r"""
_value:
  description: The manifests.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.volumes import claims


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by their names."""
        return {"project_claims": claims}
