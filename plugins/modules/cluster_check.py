#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Check that a context leads to the intended cluster and that its user has the permissions that a run needs."""

DOCUMENTATION = r"""
module: cluster_check
short_description: Check that a context leads to the intended cluster and has the permissions that a run needs
version_added: 0.1.0
description:
  - Compares the URL of the API server and the UID of the namespace C(kube-system) with the pinned values. A context is
    only a name, and a recreated cluster can have the same URL, but each cluster has a permanent UID.
  - Checks by SelfSubjectAccessReview whether the user has the permissions that a run needs. Otherwise reports the
    missing ones with a sufficient Role.
  - Makes no changes.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  server:
    description: Pinned URL of the API server, for instance V(https://192.0.2.1:6443). Empty accepts any server.
    type: str
    default: ""
  uid:
    description: Pinned UID of the namespace C(kube-system). Empty accepts any cluster.
    type: str
    default: ""
  minimum_version:
    description: Lowest Kubernetes version that the run supports, for instance V(1.30). Empty accepts any version.
    type: str
    default: ""
  namespace:
    description: >-
      Namespace of the run, in which O(rules) apply. If it does not exist, the user needs the permission to create it.
    type: str
    default: ""
  name:
    description: Name of the Role that the error suggests for missing permissions.
    type: str
    default: deployer
  entry:
    description: Whether to return the kubeconfig's entry for the cluster.
    type: bool
    default: false
  rules:
    description: Permissions that the run needs in the namespace, as the rules of a Role.
    type: list
    elements: dict
    default: []
  cluster_rules:
    description: Permissions that the run needs for cluster-scoped objects, as the rules of a ClusterRole.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Verify the target cluster
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
  description: Whether this is another cluster than the pinned one. Use it in conditions instead of the message.
  type: bool
  returned: failure because of O(server) or O(uid)
server:
  description: URL of the API server.
  type: str
  returned: success
  sample: https://192.0.2.1:6443
cluster:
  description: The kubeconfig's entry for the cluster, which has no credentials of the user.
  type: dict
  returned: when O(entry=true)
  sample: {server: "https://192.0.2.1:6443", certificate-authority-data: LS0t}
version:
  description: Kubernetes version of the cluster.
  type: str
  returned: when O(minimum_version) is set
  sample: "1.36"
uid:
  description: UID of the namespace C(kube-system). Empty if the user may not read the namespace.
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
    """Return the module's result. Raises ApiError if this is another cluster or if permissions are missing."""
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
