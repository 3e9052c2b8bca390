# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that computes how many database connections workers and schedules can open."""

DOCUMENTATION = r"""
name: process_connections
short_description: Compute the database connections of workers and schedules
version_added: 0.1.0
description:
  - Returns the sum for all workers and schedules, from their setting C(connections) for each pod.
  - A worker counts twice its pods and one more, because replaced pods keep their connections until they terminate. With
    an autoscaler, its maximum is used. A worker with C(single) never has two pods.
  - A schedule counts one pod, or two if its runs may overlap.
options:
  _input:
    description: Values of processes_state, processes_workers, and processes_schedules.
    type: list
    elements: raw
    required: true
  login:
    description: Count only processes with this login role of the database. Empty counts all.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Print the connections of two pods with four connections each
  ansible.builtin.debug:
    msg: "{{ ['present', workers, {}] | cloud_django.kubernetes.process_connections }}"
  vars:
    workers:
      celery: {replicas: 2, connections: 4}
"""

RETURN = r"""
_value:
  description: Number of connections.
  type: int
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.processes import (
    SCHEDULE_DEFAULTS,
    WORKER_DEFAULTS,
    is_single,
    present,
)

# Pods that a rollout starts before it stops the old ones.
SURGE = 1


def process_connections(values: Sequence[Any], login: str = "") -> int:
    """Return the number of connections. Raises AnsibleFilterError for values that are not numbers."""
    state, *processes = values
    found = counted(*processes) if state == "present" else iter(())
    return sum(pods * connections for name, pods, connections in found if login in ("", name))


def counted(workers: Any, schedules: Any) -> Iterator[tuple[str, int, int]]:
    """Yield login role, pods, and connections of each pod for all processes. The rules report other settings."""
    for name, given in settings("worker", workers):
        worker = WORKER_DEFAULTS | given
        replicas = max(number(name, worker, key) for key in ("replicas", "replicas_maximum"))
        pods = 1 if is_single(worker) else 2 * replicas + SURGE
        yield worker["login"], pods, number(name, worker, "connections")
    for name, given in settings("schedule", schedules):
        schedule = SCHEDULE_DEFAULTS | given
        yield schedule["login"], 1 if schedule["overlap"] == "Forbid" else 2, number(name, schedule, "connections")


def settings(kind: str, processes: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the title and the settings of each process."""
    for name, given in present(processes if isinstance(processes, Mapping) else {}).items():
        if isinstance(given, Mapping):
            yield f"{kind} {name}", dict(given)


def number(about: str, process: Mapping[str, Any], key: str) -> int:
    """Return a setting as a number."""
    if not re.fullmatch("[0-9]+", str(process[key])):
        raise AnsibleFilterError(
            f"{key} of {about} must be an integer, because the number of database connections depends on it. Correct "
            "it, then rerun the playbook."
        )
    return int(process[key])


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., int]]:
        """Return the filters by their names."""
        return {"process_connections": process_connections}
