# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that lists the groups of values that a project uses."""

DOCUMENTATION = r"""
name: project_groups
short_description: List the groups of values that a project uses
version_added: 0.1.0
description:
  - Returns the groups in the environment and the files of a project, for instance V(site) if it asks for its address.
    No value is evaluated.
options:
  _input:
    description: The variable C(__django_inputs) of the role django.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print whether the project needs its address
  ansible.builtin.debug:
    msg: "{{ 'site' in (__django_inputs | cloud_django.kubernetes.project_groups) }}"
"""

RETURN = r"""
_value:
  description: The groups.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.values import Project


def project_groups(inputs: Mapping[str, Any]) -> list[str]:
    """Return the groups that the entries use. Raises AnsibleFilterError for entries with errors."""
    project = Project(inputs)
    if errors := list(project.errors()):
        raise AnsibleFilterError(" ".join([*errors, "Then rerun the playbook."]))
    try:
        return sorted(set(project.groups()))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by their names."""
        return {"project_groups": project_groups}
