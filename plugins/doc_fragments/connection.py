# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Documentation that all modules of this collection for Kubernetes share."""


class ModuleDocFragment:
    """Extends kubernetes.core.k8s_auth_options, which documents the options."""

    DOCUMENTATION = r"""
author: The Cloud Django authors (@cloud-django)
options: {}
requirements:
  - python >= 3.12
  - kubernetes >= 24.2.0
attributes:
  action_group:
    description: Connection options can come from C(module_defaults) of the action group.
    support: full
    membership: [cloud_django.kubernetes.k8s]
notes:
  - O(kubeconfig) and O(context) are required, as options or as the environment variables C(K8S_AUTH_KUBECONFIG) and
    C(K8S_AUTH_CONTEXT). Otherwise, Ansible in a pod could use the credentials of that pod by accident.
  - The examples omit these options, because C(module_defaults) of a play usually sets them for all tasks.
"""
