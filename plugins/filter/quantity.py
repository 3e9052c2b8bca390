# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that reads the amounts in which Kubernetes counts memory and processors."""

DOCUMENTATION = r"""
name: quantity
short_description: Read an amount as Kubernetes writes it
version_added: 0.1.0
description:
  - Turns an amount such as C(512Mi), C(1G) or C(250m) into a number of its base unit, that is bytes or processors.
options:
  _input:
    description: The amount.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Say how many bytes a container may use
  ansible.builtin.debug:
    msg: "{{ '512Mi' | cloud_django.kubernetes.quantity }}"
"""

RETURN = r"""
_value:
  description: The number; an integer where it is whole.
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
