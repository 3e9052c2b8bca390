#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Module that lists what is in a namespace, whatever kind it is of."""

from __future__ import annotations

DOCUMENTATION = r"""
module: namespace_content_info
short_description: List every object in a namespace
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Asks the API server which kinds it has, custom resources included, and lists the objects of each in one namespace.
  - What Kubernetes puts into each namespace by itself is left out, and so are events, leases of controllers,
    metrics, and objects that belong to another one (such as the pods of a Deployment).
attributes:
  check_mode:
    description: It only reads.
    support: full
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
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
"""

EXAMPLES = r"""
- name: Look into a namespace
  cloud_django.kubernetes.namespace_content_info:
    namespace: polls
    kubeconfig: /home/me/.state/kubeconfig
    context: kind-cloud-django
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
unreadable:
  description: Kinds that the user may not list, sorted. Objects of these may be there as well.
  type: list
  elements: str
  returned: always
  sample: [Role, RoleBinding]
"""

from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import (
    Trouble,
    connect,
    explained,
)
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

# Kubernetes makes these by itself, in each namespace or for each Service.
_AUTOMATIC = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
}
_AUTOMATIC_KINDS = {"Event", "EndpointSlice", "Endpoints", "Lease", "PodMetrics"}


def is_automatic(item: dict[str, Any]) -> bool:
    """Tell whether Kubernetes made `item`, a list entry of the API, without being asked."""
    metadata = item["metadata"]
    return (
        item["kind"] in _AUTOMATIC_KINDS
        or (item["kind"], metadata["name"]) in _AUTOMATIC
        or bool(metadata.get("ownerReferences"))
        # Deletion is under way already.
        or bool(metadata.get("deletionTimestamp"))
    )


def listable(resources: list[Any]) -> list[Any]:
    """Return one API resource per kind and group of those that are namespaced and can be listed."""
    chosen: dict[tuple[str, str], Any] = {}
    for resource in resources:
        # The dynamic client makes up a kind "…List" for each kind, which has a base kind.
        if "base_kind" in vars(resource) or not resource.namespaced or "list" not in (resource.verbs or []):
            continue
        if resource.preferred or (resource.group, resource.kind) not in chosen:
            chosen[resource.group, resource.kind] = resource
    return list(chosen.values())


def read(client: Any, namespace: str, kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the module returns, asking the API server through the dynamic `client`; no `kinds` are all."""
    from kubernetes.dynamic.exceptions import ForbiddenError, MethodNotAllowedError, NotFoundError

    try:
        found = client.resources.get(api_version="v1", kind="Namespace").get(name=namespace).to_dict()
    except NotFoundError:
        return {"exists": False, "labels": {}, "objects": [], "unreadable": []}
    objects = []
    unreadable = set()
    known = [found for kind in kinds for found in client.resources.search(kind=kind)]
    for resource in listable(known if kinds else client.resources.search()):
        try:
            answer = resource.get(namespace=namespace).to_dict()
        except ForbiddenError:
            unreadable.add(resource.kind)
            continue
        except (MethodNotAllowedError, NotFoundError):
            continue
        for item in answer.get("items") or []:
            item = {"kind": resource.kind} | item
            if not is_automatic(item):
                objects.append(f"{resource.kind}/{item['metadata']['name']}")
    return {
        "exists": True,
        "labels": found["metadata"].get("labels") or {},
        "objects": sorted(set(objects)),
        "unreadable": sorted(unreadable - _AUTOMATIC_KINDS),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        module_class=AnsibleModule,
        argument_spec=AUTH_ARG_SPEC
        | {
            "namespace": {"type": "str", "required": True},
            "kinds": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        with explained(module.params):
            result = read(connect(module), module.params["namespace"], module.params["kinds"])
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
