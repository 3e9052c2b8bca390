#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Check that a context leads to the cluster that is meant, and that its user may do what a run will do."""

DOCUMENTATION = r"""
module: cluster_check
short_description: Check that a context leads to the cluster that is meant, with the rights that a run needs
version_added: 0.1.0
description:
  - Compares the address of the API server, and the UID of the namespace C(kube-system), with those that are pinned. A
    context is only a name, and so is the address of a cluster that was made anew; the UID belongs to one cluster for
    ever.
  - Asks the API server by SelfSubjectAccessReview whether the user may do all that a run will do, and names what is
    missing, with a Role that would suffice.
  - Changes nothing.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: It only reads., support: full}
options:
  server:
    description: The address that the API server must have, for instance V(https://192.0.2.1:6443). Empty takes any.
    type: str
    default: ""
  uid:
    description: The UID that the namespace C(kube-system) must have. Empty takes any.
    type: str
    default: ""
  minimum_version:
    description: The version of Kubernetes that the run needs, for instance V(1.30). Empty takes any.
    type: str
    default: ""
  namespace:
    description: >-
      The namespace of the run, which O(rules) hold in. Where it does not exist, the user must be allowed to make it.
    type: str
    default: ""
  name:
    description: Name of the Role that is suggested where rights are missing.
    type: str
    default: deployer
  entry:
    description: Whether to return how the kubeconfig says that the API server is reached.
    type: bool
    default: false
  rules:
    description: What the run does in the namespace, as the rules of a Role.
    type: list
    elements: dict
    default: []
  cluster_rules:
    description: What the run does with objects that belong to no namespace, as the rules of a ClusterRole.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Stop unless this is the cluster that we mean
  cloud_django.kubernetes.cluster_check:
    kubeconfig: ~/.kube/config
    context: production
    server: https://192.0.2.1:6443
    uid: 0f2a5a52-5b0e-4a52-9d3b-0b3f0a1d2c3e
    namespace: polls
    rules:
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [get, patch]
"""

RETURN = r"""
mismatch:
  description: Whether this is another cluster than the pinned one, for tasks that must not go by the error's words.
  type: bool
  returned: failure because of O(server) or O(uid)
server:
  description: The address of the API server.
  type: str
  returned: success
  sample: https://192.0.2.1:6443
cluster:
  description: The entry of the cluster in the kubeconfig, which holds no credentials of the user.
  type: dict
  returned: when O(entry=true)
  sample: {server: "https://192.0.2.1:6443", certificate-authority-data: LS0t}
version:
  description: The version of Kubernetes.
  type: str
  returned: when O(minimum_version) is given
  sample: "1.36"
uid:
  description: The UID of the namespace C(kube-system), empty if the user may not read it.
  type: str
  returned: success
  sample: 0f2a5a52-5b0e-4a52-9d3b-0b3f0a1d2c3e
"""

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cluster_entry
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.target import Target


def check(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return what the module returns. Raises ApiError if this is not the cluster, or if permissions are missing."""
    target = Target(client)
    found = {"server": target.check_server(params["server"]), "uid": target.check_uid(params["uid"])}
    if params["entry"]:
        found["cluster"] = cluster_entry(params["kubeconfig"], params["context"])
    if params["minimum_version"]:
        found["version"] = target.check_version(params["minimum_version"])
    if params["rules"] or params["cluster_rules"]:
        target.check_permissions(params["name"], params["rules"], params["cluster_rules"])
    return found


OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, check)

if __name__ == "__main__":
    main()
