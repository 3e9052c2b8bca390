#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Get objects of one kind."""

DOCUMENTATION = r"""
module: object_info
short_description: Get one object or all objects of a kind
version_added: 0.1.0
description:
  - Returns objects of one kind, optionally after one of them meets a condition.
  - Unlike M(kubernetes.core.k8s_info), fails with a message for the user, and returns only the listed keys of a Secret.
    The task therefore does not need C(no_log).
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only. It does not wait., support: full}
options:
  api_version:
    description: API version of the kind.
    type: str
    default: v1
  kind:
    description: Kind of the objects.
    type: str
    required: true
  namespace:
    description: Namespace of the objects. Empty for a cluster-scoped kind.
    type: str
    default: ""
  name:
    description: Name of the object. Empty selects all objects of the kind.
    type: str
    default: ""
  keys:
    description: Keys of a Secret to return.
    type: list
    elements: str
    default: []
  condition:
    description: Type of a condition to wait for, which requires O(name). If empty, the task does not wait.
    type: str
    default: ""
  timeout:
    description: Seconds to wait for the condition.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Get the superuser's name
  cloud_django.kubernetes.object_info:
    kind: Secret
    namespace: polls
    name: polls-superuser
    keys: [username]
"""

RETURN = r"""
resources:
  description: The objects. Empty if none exists.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.info import run

# Names of keys are not secret, but Ansible would warn about the option's name.
OPTIONS = options_of(DOCUMENTATION, keys=False)
main = main_of(OPTIONS, run)

if __name__ == "__main__":
    main()
