# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What the documentation of all our modules that speak to Kubernetes has in common."""


class ModuleDocFragment:
    """Goes with kubernetes.core.k8s_auth_options, which has the options themselves."""

    DOCUMENTATION = r"""
author: The Cloud Django authors (@cloud-django)
options: {}
requirements:
  - python >= 3.12
  - kubernetes >= 24.2.0
attributes:
  action_group:
    description: Takes its connection from an entry of C(module_defaults) for a group.
    support: full
    membership: [cloud_django.kubernetes.k8s]
notes:
  - O(kubeconfig) and O(context) are both required, as options or as the environment variables C(K8S_AUTH_KUBECONFIG)
    and C(K8S_AUTH_CONTEXT), so that the credentials of the pod that Ansible may run in are never used unasked. The
    examples leave them out where C(module_defaults) of the play has them for all tasks.
"""
