#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Module that lists what is in a namespace, whatever kind it is of."""

DOCUMENTATION = r"""
module: namespace_content_info
short_description: List every object in a namespace
version_added: 0.1.0
description:
  - Asks the API server which kinds it has, custom resources included, and lists the objects of each in one namespace.
  - What Kubernetes puts into each namespace by itself is left out, and so are events, leases of controllers,
    metrics, and objects that belong to another one (such as the pods of a Deployment).
attributes:
  check_mode: {description: It only reads., support: full}
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
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
"""

EXAMPLES = r"""
- name: Look into a namespace
  cloud_django.kubernetes.namespace_content_info:
    namespace: polls
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
going:
  description:
    - The objects that are being deleted and still exist, likewise, each followed by what holds it, as far as
      that is known. The namespace itself is among them if it is being deleted.
  type: list
  elements: str
  returned: always
  sample: [PersistentVolumeClaim/polls-postgresql (pod copy still uses it)]
unreadable:
  description: Kinds that the user may not list, or whose API is down, sorted. Objects of these may be there as well.
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
