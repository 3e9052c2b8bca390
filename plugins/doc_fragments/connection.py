# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Shared documentation of the modules that connect to Kubernetes."""


class ModuleDocFragment:
    """Fragment to combine with kubernetes.core.k8s_auth_options, which has the options."""

    DOCUMENTATION = r"""
author: The Cloud Django authors (@cloud-django)
options: {}
requirements:
  - python >= 3.12
  - kubernetes >= 24.2.0
attributes:
  action_group:
    description: Reads its connection from an entry for the group in C(module_defaults).
    support: full
    membership: [cloud_django.kubernetes.k8s]
notes:
  - O(kubeconfig) and O(context) are both required, as options or as the environment variables C(K8S_AUTH_KUBECONFIG)
    and C(K8S_AUTH_CONTEXT). Otherwise the credentials of a pod in which Ansible runs could be used by accident. The
    examples omit them, because C(module_defaults) of the play sets them for all tasks.
"""
