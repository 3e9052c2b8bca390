# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes the egress rules of a project."""

DOCUMENTATION = r"""
name: project_egress
short_description: Compute the egress rules of a project
version_added: 0.1.0
description:
  - Turns the variable C(django_egress) into rules of a NetworkPolicy. Each rule keeps its key C(only).
  - An entry without addresses, namespace, and pods allows the internet. That excludes private, link-local, and
    multicast addresses, and those of the metadata services of clouds.
options:
  _input:
    description: Allowed connections by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print the rule for a mail server
  ansible.builtin.debug:
    msg: "{{ {'mail': {'ports': [587], 'cidrs': ['203.0.113.7/32']}} | cloud_django.kubernetes.project_egress }}"
"""

RETURN = r"""
_value:
  description: The rules.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import egress


def project_egress(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the egress rules. Raises AnsibleFilterError for entries with errors."""
    if found := list(egress.errors(entries)):
        raise AnsibleFilterError(" ".join([*found, "Then rerun the playbook."]))
    return egress.rules(entries)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by their names."""
        return {"project_egress": project_egress}
