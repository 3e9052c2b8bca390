# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lookup plugin that evaluates a variable once in a task."""

DOCUMENTATION = r"""
name: once
short_description: Evaluate a variable once in a task
version_added: 0.1.0
description:
  - Returns the value of a variable. Ansible evaluates a variable again at each reference, and with it all variables
    that it refers to.
  - Each task runs in a process of its own, and the value is kept for this process. In a loop, it is kept for each item.
options:
  _terms:
    description: Names of variables, whose values must not change in a task, for instance between its retries.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Print a variable
  ansible.builtin.debug:
    msg: "{{ lookup('cloud_django.kubernetes.once', 'expensive') }}"
  vars:
    expensive: "{{ range(1000000) | sum }}"
"""

RETURN = r"""
_list:
  description: The values, in the order of the names.
  type: list
  elements: raw
"""

import multiprocessing
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

# Values by name, with the item of the loop.
_values: dict[str, tuple[Any, Any]] = {}


def item_of(variables: Mapping[str, Any]) -> Any:
    """Return the item of the task's loop; None without a loop."""
    return variables.get(variables.get("ansible_loop_var", "item"))


class LookupModule(LookupBase):
    """Lookup of variables, whose values are kept in the process of a task."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[Any]:
        """Return one value per name. Raises AnsibleLookupError for an undefined variable."""
        return [self.value(name, variables or {}) for name in terms]

    def value(self, name: str, variables: dict) -> Any:
        """Return the value of one variable."""
        if name not in variables:
            raise AnsibleLookupError(f"{name} is not defined. Correct its name, then rerun the playbook.")
        # The main process runs all tasks, so a value of one task could be wrong in the next.
        if multiprocessing.parent_process() is None:
            return self._templar.template(variables[name])
        item = item_of(variables)
        if name not in _values or _values[name][0] is not item:
            _values[name] = item, self._templar.template(variables[name])
        return _values[name][1]
