# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Filter that lets a kubeconfig pass only if its context leads to the server that is pinned."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pinned_kubeconfig
short_description: Refuse a kubeconfig whose context leads to another server than the pinned one
version_added: 0.1.0
author: The Cloud Django authors
description:
  - Returns the path that it is given. Fails if the context in that file leads to another server than the pinned one.
  - In C(module_defaults) of a play it guards each task that reaches the API, whichever tasks the play starts with.
  - A file that is not there yet, or that has no such context, passes, since the task says so better.
options:
  _input:
    description: The path of the kubeconfig.
    type: path
    required: true
  context:
    description: The context.
    type: str
    required: true
  server:
    description: The address that its server must have, for instance V(https://192.0.2.1:6443). Empty lets any pass.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Reach one server and no other
  hosts: all
  module_defaults:
    group/cloud_django.kubernetes.k8s:
      kubeconfig: "{{ '~/.kube/config' | cloud_django.kubernetes.pinned_kubeconfig('staging', 'https://192.0.2.1') }}"
      context: staging
"""

RETURN = r"""
_value:
  description: The path, as it was given.
  type: path
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import same_server


def server_of(text: str, context: str) -> str:
    """Return the server that a context of a kubeconfig leads to; empty if there is none."""
    try:
        document = yaml.safe_load(text)
        name = next(entry["context"]["cluster"] for entry in document["contexts"] if entry["name"] == context)
        return str(next(entry["cluster"]["server"] for entry in document["clusters"] if entry["name"] == name))
    except (yaml.YAMLError, LookupError, TypeError, StopIteration):
        return ""


def pinned_kubeconfig(path: Any, context: str, server: str) -> Any:
    """Return the path of a kubeconfig. Raises AnsibleFilterError if its context leads to another server."""
    if not server:
        return path
    try:
        found = server_of(Path(path).expanduser().read_text(encoding="utf-8"), context)
    except (OSError, ValueError):
        return path
    if found and not same_server(found, server):
        raise AnsibleFilterError(
            f"The context {context} of {path} leads to {found}, and cluster_server is pinned to {server}, so nothing "
            "was changed. Use the kubeconfig of the pinned cluster, or pin this one by `make pin`."
        )
    return path


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pinned_kubeconfig": pinned_kubeconfig}
