#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Read objects of one kind."""

DOCUMENTATION = r"""
module: object_info
short_description: Read one object or all of a kind
version_added: 0.1.0
description:
  - Reads objects of one kind, and waits for a condition of one if that is asked for.
  - Unlike M(kubernetes.core.k8s_info) it fails with a sentence, and returns only those values of a Secret that the task
    names, so that a failure need not be hidden.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: It only reads. It does not wait., support: full}
options:
  api_version:
    description: API version of the kind.
    type: str
    default: v1
  kind:
    description: The kind.
    type: str
    required: true
  namespace:
    description: Namespace of the objects. Empty for a kind that belongs to none.
    type: str
    default: ""
  name:
    description: Name of the object. Empty means all of the kind.
    type: str
    default: ""
  keys:
    description: Which keys of a Secret to return.
    type: list
    elements: str
    default: []
  condition:
    description: Type of a condition of the named object to wait for. Empty waits for none.
    type: str
    default: ""
  timeout:
    description: How many seconds to wait for the condition at most.
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
  description: The objects as the API has them. Empty if there is none.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.info import run

# The names of keys are no secret, whatever Ansible takes them for.
OPTIONS = options_of(DOCUMENTATION, keys=False)
main = main_of(OPTIONS, run)

if __name__ == "__main__":
    main()
