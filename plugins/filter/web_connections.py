# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes how many database connections the web pods can open."""

DOCUMENTATION = r"""
name: web_connections
short_description: Compute the database connections of the web pods
version_added: 0.1.0
description:
  - Returns (2 x replicas + surge) x workers x threads. During a rollout, replaced pods keep their connections until
    they terminate, so up to twice the pods and the surge are counted. With an autoscaler, its maximum is used.
  - If the number of workers is 0, gunicorn starts one for each CPU of the pod, and at least two.
options:
  _input:
    description:
      - Values of web_replicas, web_replicas_maximum, web_surge, web_workers, web_threads, and web_resources.
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
- name: Print the connections of three pods with two workers of four threads
  ansible.builtin.debug:
    msg: "{{ [3, 0, 1, 2, 4, {}] | cloud_django.kubernetes.web_connections }}"
"""

RETURN = r"""
_value:
  description: Number of connections.
  type: int
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.quantity import parse

NUMBERS = ("web_replicas", "web_replicas_maximum", "web_surge", "web_workers", "web_threads")


def web_connections(values: Sequence[Any]) -> int:
    """Return the number of connections of the web pods. Raises AnsibleFilterError for values that are not numbers."""
    *given, resources = values
    wrong = [name for name, value in zip(NUMBERS, given, strict=True) if not re.fullmatch("[0-9]+", str(value))]
    if wrong:
        raise AnsibleFilterError(
            f"{', '.join(wrong)} must be an integer, because the number of database connections depends on it. Correct "
            "it, then rerun the playbook."
        )
    replicas, maximum, surge, workers, threads = (int(value) for value in given)
    processors = ((resources or {}).get("limits") or {}).get("cpu") or 1
    try:
        workers = workers or max(2, math.ceil(parse(processors)))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return (2 * max(replicas, maximum) + surge) * workers * threads


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[[Sequence[Any]], int]]:
        """Return the filters by their names."""
        return {"web_connections": web_connections}
