#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Test whether NetworkPolicies are enforced."""

DOCUMENTATION = r"""
module: network_policy_info
short_description: Test whether NetworkPolicies are enforced
version_added: 0.1.0
description:
  - Runs a command in a pod. The command tries to connect to another of the selected pods, which their NetworkPolicy
    forbids.
  - A cluster accepts NetworkPolicies even if its network plugin does not enforce them. Only a connection attempt shows
    whether they are enforced.
options:
  namespace:
    description: Namespace of the pods.
    type: str
    required: true
  label_selectors:
    description: Label selectors of the pods. One of the ready pods tries to connect to another.
    type: list
    elements: str
    required: true
  container:
    description: Container in which the command runs.
    type: str
    required: true
  command:
    description:
      - Command and its arguments. The IP address of the other pod is appended.
      - It must exit with status C(0) if it could connect, and with C(3) if not.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: "The module is read-only. The command runs in check mode, too.", support: full}
notes:
  - A user needs the verb C(list) on pods, and C(create) and C(get) on C(pods/exec).
"""

EXAMPLES = r"""
- name: Test whether the pods of the site can reach each other
  cloud_django.kubernetes.network_policy_info:
    namespace: polls
    label_selectors: [app.kubernetes.io/component=web]
    container: web
    command: [sh, -c, "nc -z -w 1 \"$0\" 8000 || exit 3"]
"""

RETURN = r"""
enforced:
  description: Whether the attempt failed, as it should. Null without two ready pods, or for another exit status.
  type: bool
  returned: success
  sample: true
pod:
  description: Name of the pod that ran the command. Empty without two ready pods.
  type: str
  returned: success
  sample: polls-web-6d5c9f7b9-x2x7k
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.network_policies import run

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, run)

if __name__ == "__main__":
    main()
