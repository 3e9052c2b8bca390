# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lookup plugin that finds what, around the inventory, would make a run do something else than it says."""

DOCUMENTATION = r"""
name: environment_refusal
short_description: Return why the playbooks cannot run in this environment
version_added: 0.1.0
description:
  - Returns a sentence for the user; an empty one if the playbooks can run.
  - They run on the control node as the user who starts them, because they use that user's files and container engine.
    Another connection, or another user by C(become), would do only some of the tasks elsewhere.
  - Another version of kubernetes.core than the collection needs may be found first, for instance in C(~/.ansible).
options:
  _terms:
    description: Names of the hosts that the playbooks run on.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Fail in an environment that changes what a run does
  ansible.builtin.fail:
    msg: "{{ refusal }}"
  vars:
    refusal: "{{ lookup('cloud_django.kubernetes.environment_refusal', *groups.cloud_django) }}"
  when: refusal | length > 0
"""

RETURN = r"""
_list:
  description: The sentence.
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
    """Return why the tasks of a host would run elsewhere or as another user; empty if they would not.

    Args:
        command: options of the command, and what Ansible is configured to do without them.
        user: who runs the command.
    """
    connection = str(variables.get("ansible_connection") or command.get("connection") or "ssh")
    if connection.rpartition(".")[2] != "local":
        return (
            f"Host {host} has the connection {connection}, and the playbooks run on the control node only. No changes "
            f"were made. Set ansible_connection: local for {host} in the inventory, then rerun the playbook."
        )
    become = variables.get("ansible_become", command.get("become"))
    other = str(variables.get("ansible_become_user") or command.get("become_user") or "root")
    if boolean(become, strict=False) and other != user:
        return (
            f"The tasks of host {host} would run as user {other}, and the playbooks use the files and the container "
            f"engine of user {user}, who runs them. No changes were made. Remove --become or ansible_become, or log in "
            f"as {other}, then rerun the playbook."
        )
    return ""


def version_refusal(folder: Path, minimum: str = KUBERNETES_CORE) -> str:
    """Return why the collection kubernetes.core in a folder cannot be used; empty if it can."""
    try:
        version = json.loads((folder / "MANIFEST.json").read_bytes())["collection_info"]["version"]
        is_lower = numbers(version) < numbers(minimum)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # A checkout of it has no such file.
        return ""
    if not is_lower:
        return ""
    return (
        f"Ansible finds version {version} of the collection kubernetes.core in {folder}, and the playbooks need "
        f"{minimum} or later. No changes were made. Upgrade or remove that one, or unset "
        "ANSIBLE_COLLECTIONS_PATH, then rerun the playbook."
    )


def numbers(version: str) -> list[int]:
    """Return the numbers of a version."""
    return [int(part) for part in version.partition("-")[0].split(".")]


def present_user() -> str:
    """Return the name of the user who runs this, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def kubernetes_core() -> Path:
    """Return the folder of the collection kubernetes.core that Ansible uses."""
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
