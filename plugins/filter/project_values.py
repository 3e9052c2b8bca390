# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes the environment, files, and volumes of the pods of a project."""

DOCUMENTATION = r"""
name: project_values
short_description: Compute the environment, files, and volumes of a project's pods
version_added: 0.1.0
description:
  - Turns the variables of the role django into parts of a pod, and into options of M(cloud_django.kubernetes.apply).
  - The result has C(text) (plain values by name), C(environment) (entries of C(env)), C(volumes) and C(mounts),
    C(database_items) (files of the database's Secret), C(claims) (manifests), C(secret) (name of the composed Secret),
    C(groups) (names of used groups),
    and C(compose), C(given), C(sources), and C(required) for the module.
  - A value of a group that no entry uses is not evaluated.
options:
  _input:
    description: The variable C(__django_inputs) of the role django.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print the environment of the web pods
  ansible.builtin.debug:
    msg: "{{ (__django_inputs | cloud_django.kubernetes.project_values).environment }}"
"""

RETURN = r"""
_value:
  description: The parts.
  type: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import volumes
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.values import Project, Values


def project_values(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the pods of a project. Raises AnsibleFilterError for entries with errors."""
    project = Project(inputs)
    if errors := list(project.errors()):
        raise AnsibleFilterError(" ".join([*errors, "Then rerun the playbook."]))
    try:
        parts = Values(project).result()
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    given = project.given
    more = volumes.volume_parts(given["volumes"], given["writable"], given["app"])
    # Directories before the single files in them.
    return parts | more | {name: more[name] + parts[name] for name in ("volumes", "mounts", "required")}


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names."""
        return {"project_values": project_values}
