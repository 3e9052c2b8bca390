# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that returns a kubeconfig only if its context leads to the pinned server."""

DOCUMENTATION = r"""
name: pinned_kubeconfig
short_description: Fail if the context of a kubeconfig leads to another server than the pinned one
version_added: 0.1.0
description:
  - Returns the path. Fails if the context in the file leads to another server than the pinned one.
  - In C(module_defaults) of a play, the filter checks each task that connects to the API, regardless of tags.
  - Also fails if the environment has other connection options, such as C(K8S_AUTH_HOST), because the modules of
    kubernetes.core would use them.
  - Bypasses proxies of the environment for a server on the control node and for a server whose network is in
    C(no_proxy).
  - Accepts a missing file or a file without the context, because the task itself reports the error better.
options:
  _input:
    description: Path of the kubeconfig.
    type: path
    required: true
  context:
    description: Name of the context.
    type: str
    required: true
  server:
    description: URL of the pinned API server, for instance V(https://192.0.2.1:6443). Empty accepts any server.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Connect only to the pinned server
  hosts: all
  module_defaults:
    group/cloud_django.kubernetes.k8s:
      kubeconfig: "{{ '~/.kube/config' | cloud_django.kubernetes.pinned_kubeconfig('staging', 'https://192.0.2.1') }}"
      context: staging
"""

RETURN = r"""
_value:
  description: The unchanged path.
  type: path
"""

import os
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import connection
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import REPIN, ApiError


def pinned_kubeconfig(path: Any, context: str, server: str) -> Any:
    """Return the path of a kubeconfig. Raises AnsibleFilterError if its context or the environment leads elsewhere."""
    try:
        connection.refuse_environment(os.environ)
    except ApiError as error:
        raise AnsibleFilterError(str(error)) from None
    # Here, because this filter runs for each task that connects to the API, including those of kubernetes.core.
    connection.bypass_proxies(path, context)
    if not server:
        return path
    found = connection.cluster_entry(path, context).get("server", "")
    if found and not connection.same_server(found, server):
        raise AnsibleFilterError(
            f"The context {context} of {path} leads to {found}, but cluster_server is pinned to {server}. No changes "
            f"were made. {REPIN}."
        )
    return path


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"pinned_kubeconfig": pinned_kubeconfig}
