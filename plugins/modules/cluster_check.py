#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Check that a context leads to the cluster that is meant, and that its user may do what a run will do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_check
short_description: Check that a context leads to the cluster that is meant, with the rights that a run needs
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Compares the address of the API server, and the UID of the namespace C(kube-system), with those that are pinned. A
    context is only a name, and so is the address of a cluster that was made anew; the UID belongs to one cluster for
    ever.
  - Asks the API server by SelfSubjectAccessReview whether the user may do all that a run will do, and names what is
    missing, with a Role that would suffice.
  - Changes nothing.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: It only reads.
    support: full
options:
  server:
    description: The address that the API server must have, for instance V(https://192.0.2.1:6443). Empty takes any.
    type: str
    default: ""
  uid:
    description: The UID that the namespace C(kube-system) must have. Empty takes any.
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
uid:
  description: The UID of the namespace C(kube-system), empty if the user may not read it.
  type: str
  returned: success
  sample: 0f2a5a52-5b0e-4a52-9d3b-0b3f0a1d2c3e
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import (
    ApiException,
    Trouble,
    cause_of,
    cluster_entry,
    connect,
    explained,
    same_server,
)
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

# In seconds: to connect, and to wait for an answer.
REQUEST_LIMIT = (5.0, 20.0)
# At the same time. Each answer takes little more than the way there and back.
REVIEWS = 8
REVIEW_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

NO_NAME = {"name": "", "namespace": ""}

Rule = Mapping[str, Sequence[str]]
Attributes = dict[str, str]


def reviews(rules: Sequence[Rule], namespace: str) -> Iterator[Attributes]:
    """Yield what a SelfSubjectAccessReview asks about, for each right in the rules of a Role."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                plain, _, subresource = resource.partition("/")
                for name in rule.get("resourceNames") or [""]:
                    for verb in rule["verbs"]:
                        asked = {"group": group, "resource": plain, "subresource": subresource, "verb": verb}
                        yield asked | {"name": name, "namespace": namespace}


def in_words(missing: Sequence[Attributes]) -> str:
    """Return rights in a few words, those on the same resource together."""
    verbs: dict[str, list[str]] = {}
    for asked in missing:
        resource = asked["resource"] + (asked["subresource"] and f"/{asked['subresource']}")
        resource += (asked["group"] and f".{asked['group']}") + (asked["name"] and f" {asked['name']}")
        verbs.setdefault(resource, []).append(asked["verb"])
    return "; ".join(f"{', '.join(known)} {resource}" for resource, known in verbs.items())


class Check:
    """One run of the module, against one cluster."""

    def __init__(self, client: Any, where: str) -> None:
        self.client, self.where = client, where

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Return what the API answers, None for an object that is not there."""
        try:
            answer = self.client.request(method, path, serialize=False, _request_timeout=REQUEST_LIMIT, **options)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return json.loads(answer.data)

    def check_server(self, pinned: str) -> str:
        """Return the address of the API server. Raises Trouble if it is not the pinned one."""
        server = self.client.client.configuration.host
        if pinned and not same_server(server, pinned):
            raise Trouble(
                f"The {self.where} leads to {server}, and cluster_server is pinned to {pinned}, so nothing was "
                "changed. Use the kubeconfig of the pinned cluster, or pin this one by `make pin`."
            )
        return server

    def check_uid(self, pinned: str) -> str:
        """Return the UID of the cluster, if it can be read. Raises Trouble if it is not the pinned one."""
        try:
            uid = self.request("get", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        except ApiException as error:
            if error.status != 403:
                raise
            if pinned:
                raise Trouble(
                    f"The UID of the cluster behind {self.where} cannot be compared with cluster_uid: "
                    f"{cause_of(error)}. Grant get on namespace kube-system, or pin cluster_server only."
                ) from None
            return ""
        if pinned and uid != pinned:
            raise Trouble(
                f"The cluster behind {self.where} has the UID {uid}, and cluster_uid is pinned to {pinned}, so nothing "
                "was changed. Use the kubeconfig of the pinned cluster, or pin this one by `make pin`."
            )
        return uid

    def is_allowed(self, asked: Attributes) -> bool:
        spec = {"resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        return bool(self.request("post", REVIEW_PATH, body=review)["status"].get("allowed"))

    def missing(self, asked: list[Attributes]) -> list[Attributes]:
        """Return which of these rights the user lacks."""
        # An administrator is asked about once.
        anything = {"group": "*", "resource": "*", "verb": "*"}
        if not asked or self.is_allowed(anything):
            return []
        with ThreadPoolExecutor(REVIEWS) as pool:
            return [each for each, allowed in zip(asked, pool.map(self.is_allowed, asked), strict=True) if not allowed]

    def check_rights(self, name: str, namespace: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> None:
        """Raise Trouble, with the Roles that would suffice, if the user may not do all of this."""
        wanted = list(reviews(rules, namespace)) + list(reviews(cluster_rules, ""))
        if self.is_namespace_missing(namespace):
            wanted.insert(0, {"group": "", "resource": "namespaces", "subresource": "", "verb": "create"} | NO_NAME)
        if missing := self.missing(wanted):
            raise Trouble(
                f"The user of {self.where} may not {in_words(missing)} in namespace {namespace}, so nothing was "
                "changed. Let an administrator run playbooks/deploy_account.yml, which makes an account with these "
                f"Roles, or grant them:\n{roles(name, namespace, rules, cluster_rules)}"
            )

    def is_namespace_missing(self, namespace: str) -> bool:
        try:
            return self.request("get", f"/api/v1/namespaces/{namespace}") is None
        except ApiException as error:
            if error.status != 403:
                raise
            # Somebody who may not look is told so with the other rights.
            return False


def roles(name: str, namespace: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> str:
    """Return a Role and a ClusterRole that suffice for a run, as YAML."""
    version = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": version, "kind": "Role", "metadata": {"name": name, "namespace": namespace}, "rules": rules}
    documents = [role]
    if cluster_rules:
        metadata = {"name": f"{namespace}:{name}"}
        documents.append({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": cluster_rules})
    # Without anchors for what stands there twice, and without the types of Ansible's own.
    plain = json.loads(json.dumps(documents))
    return yaml.safe_dump_all(plain, sort_keys=False)


def run(module: AnsibleK8SModule) -> dict[str, Any]:
    """Return what the module returns. Raises Trouble if this is not the cluster, or if rights are missing."""
    params = module.params
    with explained(params) as where:
        check = Check(connect(module), where)
        found = {"server": check.check_server(params["server"]), "uid": check.check_uid(params["uid"])}
        if params["entry"]:
            found["cluster"] = cluster_entry(params["kubeconfig"], params["context"])
        if params["rules"] or params["cluster_rules"]:
            check.check_rights(params["name"], params["namespace"], params["rules"], params["cluster_rules"])
        return found


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        module_class=AnsibleModule,
        argument_spec=AUTH_ARG_SPEC
        | {
            "server": {"type": "str", "default": ""},
            "uid": {"type": "str", "default": ""},
            "namespace": {"type": "str", "default": ""},
            "name": {"type": "str", "default": "deployer"},
            "entry": {"type": "bool", "default": False},
            "rules": {"type": "list", "elements": "dict", "default": []},
            "cluster_rules": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        found = run(module)
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
