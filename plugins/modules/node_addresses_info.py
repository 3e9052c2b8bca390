#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Get the addresses of a cluster's nodes."""

DOCUMENTATION = r"""
module: node_addresses_info
short_description: Get the addresses of a cluster's nodes
version_added: 0.1.0
description:
  - Returns the IP addresses of the nodes of a cluster, external addresses first.
options: {}
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only., support: full}
notes:
  - Requires the verb C(list) on nodes.
"""

EXAMPLES = r"""
- name: Get the addresses of the nodes
  cloud_django.kubernetes.node_addresses_info:
"""

RETURN = r"""
addresses:
  description: The external IP addresses, then the internal ones, each in the order in which the API lists the nodes.
  type: list
  elements: str
  returned: success
  sample: [172.18.0.2]
nodes:
  description: Number of nodes.
  type: int
  returned: success
  sample: 1
"""

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of


def addresses(nodes: list[dict[str, Any]]) -> list[str]:
    """Return the IP addresses of nodes as the API lists them."""
    known = [entry for node in nodes for entry in node.get("status", {}).get("addresses") or []]
    return [entry["address"] for wanted in ("ExternalIP", "InternalIP") for entry in known if entry["type"] == wanted]


def read(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return the module's result. Raises ApiError if the nodes cannot be read."""
    try:
        nodes = client.list("Node")
    except ApiError as error:
        if error.status != 403:
            raise
        step = f"Set web_node_address or app_public_url, {AGAIN}"
        raise ApiError(f"The nodes of {client.where}", f"cannot be read: {error.reason}", step, error.status) from None
    return {"addresses": addresses(nodes), "nodes": len(nodes)}


main = main_of({}, read)

if __name__ == "__main__":
    main()
