# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that lets a kubeconfig pass only if its context leads to the server that is pinned."""

DOCUMENTATION = r"""
name: pinned_kubeconfig
short_description: Refuse a kubeconfig whose context leads to another server than the pinned one
version_added: 0.1.0
description:
  - Returns the path that it is given. Fails if the context in that file leads to another server than the pinned one.
  - In C(module_defaults) of a play it guards each task that reaches the API, whichever tasks the play starts with.
  - Fails as well if the environment holds other options of a connection, C(K8S_AUTH_HOST) and its like, which the
    modules of kubernetes.core would follow.
  - Proxies of the environment are not used for a server on this machine, nor for one whose network is in C(no_proxy).
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

import os
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import connection
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError


def pinned_kubeconfig(path: Any, context: str, server: str) -> Any:
    """Return a kubeconfig's path. Raises AnsibleFilterError if its context, or the environment, leads elsewhere."""
    try:
        connection.refuse_environment(os.environ)
    except ApiError as error:
        raise AnsibleFilterError(str(error)) from None
    # Here, because each task that reaches the API passes by, those of kubernetes.core as well.
    connection.bypass_proxies(path, context)
    if not server:
        return path
    found = connection.cluster_entry(path, context).get("server", "")
    if found and not connection.same_server(found, server):
        raise AnsibleFilterError(
            f"The context {context} of {path} leads to {found}, and cluster_server is pinned to {server}, so nothing "
            "was changed. Use the kubeconfig of the pinned cluster, or pin this one by `make pin`."
        )
    return path


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pinned_kubeconfig": pinned_kubeconfig}
