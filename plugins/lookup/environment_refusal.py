# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lookup plugin that detects environments in which the playbooks would not work as intended."""

DOCUMENTATION = r"""
name: environment_refusal
short_description: Return why the playbooks cannot run in this environment
version_added: 0.1.0
description:
  - Returns a message for the user, or an empty string if the playbooks can run.
  - The playbooks run on the control node as the user who starts them, because they use that user's files and container
    engine. With another connection, or another user by C(become), some of the tasks would run elsewhere.
  - Ansible may find an older version of kubernetes.core than the collection needs, for instance in C(~/.ansible).
options:
  _terms:
    description: Names of the hosts of the playbooks.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Fail if the environment is not supported
  ansible.builtin.fail:
    msg: "{{ refusal }}"
  vars:
    refusal: "{{ lookup('cloud_django.kubernetes.environment_refusal', *groups.cloud_django) }}"
  when: refusal | length > 0
"""

RETURN = r"""
_list:
  description: The message.
  type: list
  elements: str
"""

import json
import os
import pwd
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.lookup import LookupBase

# The lowest version that galaxy.yml allows.
KUBERNETES_CORE = "6.6.0"


def user_refusal(host: str, variables: Mapping[str, Any], command: Mapping[str, Any], user: str) -> str:
    """Return why the tasks of a host would run elsewhere or as another user; empty otherwise.

    Args:
        command: options of the command with Ansible's configured defaults.
        user: name of the user who runs the command.
    """
    connection = str(variables.get("ansible_connection") or command.get("connection") or "ssh")
    if connection.rpartition(".")[2] != "local":
        return (
            f"Host {host} has the connection {connection}, but the playbooks run only on the control node. No changes "
            f"were made. Set ansible_connection: local for {host} in the inventory, then rerun the playbook."
        )
    become = variables.get("ansible_become", command.get("become"))
    other = str(variables.get("ansible_become_user") or command.get("become_user") or "root")
    if boolean(become, strict=False) and other != user:
        return (
            f"The tasks of host {host} would run as user {other}, but the playbooks need the files and the container "
            f"engine of the current user {user}. No changes were made. Remove --become or ansible_become, or log in as "
            f"{other}, then rerun the playbook."
        )
    return ""


def version_refusal(directory: Path, minimum: str = KUBERNETES_CORE) -> str:
    """Return why the collection kubernetes.core in a directory cannot be used; empty if it can."""
    try:
        version = json.loads((directory / "MANIFEST.json").read_bytes())["collection_info"]["version"]
        is_lower = numbers(version) < numbers(minimum)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # A Git checkout of the collection has no such file.
        return ""
    if not is_lower:
        return ""
    return (
        f"Ansible found version {version} of the collection kubernetes.core in {directory}, but the playbooks need "
        f"{minimum} or later. No changes were made. Upgrade or remove this version, or unset "
        "ANSIBLE_COLLECTIONS_PATH, then rerun the playbook."
    )


def numbers(version: str) -> list[int]:
    """Return the parts of a version as numbers."""
    return [int(part) for part in version.partition("-")[0].split(".")]


def present_user() -> str:
    """Return the name of the current user, or the UID of a user without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def kubernetes_core() -> Path:
    """Return the directory of the collection kubernetes.core that Ansible uses."""
    try:
        return Path(next(iter(import_module("ansible_collections.kubernetes.core").__path__)))
    except (ImportError, StopIteration):
        return Path("missing")


class LookupModule(LookupBase):
    """Shell around :func:`user_refusal` and :func:`version_refusal`."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return the first refusal."""
        of_hosts, user, command = (variables or {}).get("hostvars", {}), present_user(), dict(context.CLIARGS)
        command["become_user"] = command.get("become_user") or constants.DEFAULT_BECOME_USER
        found = (user_refusal(host, of_hosts[host], command, user) for host in terms)
        return [next(filter(None, found), "") or version_refusal(kubernetes_core())]
