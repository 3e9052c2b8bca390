#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Ask a pod whether its NetworkPolicy is more than words."""

DOCUMENTATION = r"""
module: network_policy_info
short_description: Ask a pod whether its NetworkPolicy is more than words
version_added: 0.1.0
description:
  - Runs a program in a pod. It tries to connect to another pod of the same kind, which their NetworkPolicy forbids.
  - A cluster whose network plug-in enforces no NetworkPolicies accepts them all. Only an attempt can tell.
options:
  namespace:
    description: Namespace of the pods.
    type: str
    required: true
  label_selectors:
    description: What selects the pods. Of those that are ready, one tries to reach another.
    type: list
    elements: str
    required: true
  container:
    description: Container in which the program runs.
    type: str
    required: true
  command:
    description:
      - The program and its arguments, to which the other pod's address is appended.
      - It must end by itself, with C(0) if it could connect and with C(3) if not.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: It only reads; the program it runs is the caller's., support: full}
notes:
  - A user needs the verb C(list) on pods, and C(create) and C(get) on C(pods/exec).
"""

EXAMPLES = r"""
- name: Ask whether the pods of the site can reach each other
  cloud_django.kubernetes.network_policy_info:
    namespace: polls
    label_selectors: [app.kubernetes.io/component=web]
    container: web
    command: [sh, -c, "nc -z -w 1 \"$0\" 8000 || exit 3"]
"""

RETURN = r"""
enforced:
  description: Whether the attempt failed, as it should. Nothing without two ready pods, or if none can tell.
  type: bool
  returned: success
  sample: true
pod:
  description: Name of the pod that tried; empty without two that are ready.
  type: str
  returned: success
  sample: polls-web-6d5c9f7b9-x2x7k
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.network_policies import ask

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, ask)

if __name__ == "__main__":
    main()
