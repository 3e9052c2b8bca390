# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that parses quantities of Kubernetes, for instance of memory and CPU."""

DOCUMENTATION = r"""
name: quantity
short_description: Parse a quantity of Kubernetes
version_added: 0.1.0
description:
  - Converts a quantity such as C(512Mi), C(1G), or C(250m) to a number in its base unit, bytes or CPUs.
options:
  _input:
    description: The quantity.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Print the memory limit of a container in bytes
  ansible.builtin.debug:
    msg: "{{ '512Mi' | cloud_django.kubernetes.quantity }}"
"""

RETURN = r"""
_value:
  description: The number, as an integer if possible.
  type: raw
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.quantity import parse


def quantity(value: Any) -> int | float:
    """Return a Kubernetes quantity as a number."""
    try:
        number = parse(value)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return int(number) if number == int(number) else float(number)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[[Any], int | float]]:
        return {"quantity": quantity}
