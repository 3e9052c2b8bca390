#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Module that reads which images the pods of a cluster use."""

DOCUMENTATION = r"""
module: pod_images_info
short_description: Read which images the pods of a cluster use
version_added: 0.1.0
description:
  - Reads the image of each container and init container, of the pods of all namespaces.
options: {}
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only., support: full}
notes:
  - A user needs the verb C(list) on pods of all namespaces.
"""

EXAMPLES = r"""
- name: Read which images the pods use
  cloud_django.kubernetes.pod_images_info:
    kubeconfig: ~/.kube/config
    context: minikube
"""

RETURN = r"""
images:
  description: The images as the pods name them, sorted.
  type: list
  elements: str
  returned: success
  sample: [localhost/cloud-django/polls:5f3a]
"""

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of


def read(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ApiError if the pods cannot be listed."""
    specs = [pod["spec"] for pod in client.list("Pod", namespace="")]
    containers = [each for spec in specs for key in ("containers", "initContainers") for each in spec.get(key) or []]
    return {"images": sorted({container["image"] for container in containers})}


main = main_of(options_of(DOCUMENTATION), read)

if __name__ == "__main__":
    main()
