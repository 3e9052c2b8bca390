#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Module that lists the objects of all kinds in a namespace."""

DOCUMENTATION = r"""
module: namespace_content_info
short_description: List every object in a namespace
version_added: 0.1.0
description:
  - Lists the objects of all kinds that the API server has in one namespace, including custom resources.
  - Omits the objects that Kubernetes creates in each namespace. Also omits events, Leases, metrics, and objects with
    owner references, such as the pods of a Deployment.
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  namespace:
    description: Name of the namespace.
    type: str
    required: true
  kinds:
    description: Kinds to list. An empty list selects all kinds, which requires one request for each.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
"""

EXAMPLES = r"""
- name: List the objects of a namespace
  cloud_django.kubernetes.namespace_content_info:
    namespace: polls
"""

RETURN = r"""
exists:
  description: Whether the namespace exists.
  type: bool
  returned: always
labels:
  description: Labels of the namespace.
  type: dict
  returned: always
objects:
  description: The objects in the form C(Kind/name), sorted.
  type: list
  elements: str
  returned: always
  sample: [ConfigMap/settings, Deployment/web]
going:
  description:
    - The objects that are being deleted, in the same form, each with the reason why it still exists, if known. Includes
      the namespace itself if it is being deleted.
  type: list
  elements: str
  returned: always
  sample: [PersistentVolumeClaim/polls-postgresql (pod copy still uses it)]
unreadable:
  description: Kinds that the user may not list or whose API is unavailable, sorted. Objects of these kinds may exist.
  type: list
  elements: str
  returned: always
  sample: [Role, RoleBinding]
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.content import run

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, run)

if __name__ == "__main__":
    main()
