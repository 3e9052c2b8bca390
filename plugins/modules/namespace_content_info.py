#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Module that lists what is in a namespace, whatever kind it is of."""

from __future__ import annotations

DOCUMENTATION = r"""
module: namespace_content_info
short_description: List every object in a namespace
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Asks the API server which kinds it has, custom resources included, and lists the objects of each in one namespace.
  - What Kubernetes puts into each namespace by itself is left out, and so are events, leases of controllers,
    metrics, and objects that belong to another one (such as the pods of a Deployment).
attributes:
  check_mode:
    description: It only reads.
    support: full
options:
  namespace:
    description: Name of the namespace.
    type: str
    required: true
  kinds:
    description: Kinds to list. An empty list means all of them, which takes a request for each.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
"""

EXAMPLES = r"""
- name: Look into a namespace
  cloud_django.kubernetes.namespace_content_info:
    namespace: polls
    kubeconfig: /home/me/.state/kubeconfig
    context: kind-cloud-django
"""

RETURN = r"""
exists:
  description: Whether the namespace is there.
  type: bool
  returned: always
labels:
  description: Labels of the namespace.
  type: dict
  returned: always
objects:
  description: The objects, each as C(Kind/name), sorted.
  type: list
  elements: str
  returned: always
  sample: [ConfigMap/settings, Deployment/web]
unreadable:
  description: Kinds that the user may not list, sorted. Objects of these may be there as well.
  type: list
  elements: str
  returned: always
  sample: [Role, RoleBinding]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import explained
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.content import read
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        module_class=AnsibleModule,
        argument_spec=AUTH_ARG_SPEC
        | {
            "namespace": {"type": "str", "required": True},
            "kinds": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        # The discovery of kinds is not the client's own, and raises what the network raises.
        with explained(module.params):
            result = read(connect(module), module.params["kinds"])
    except CloudDjangoError as error:
        module.fail_json(changed=False, msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
