# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Check that a connection leads to the intended cluster and that its user has the permissions that a run needs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import same_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import (
    AGAIN,
    REPIN,
    ApiError,
    OtherClusterError,
)

# Number of parallel requests. Each one takes little more than the network latency.
REVIEWS = 8
RBAC = "rbac.authorization.k8s.io/v1"
NO_NAME = {"name": "", "namespace": ""}

Rule = Mapping[str, Sequence[str]]
Attributes = dict[str, str]


def reviews(rules: Sequence[Rule], namespace: str) -> Iterator[Attributes]:
    """Yield the attributes of a SelfSubjectAccessReview for each permission in the rules of a Role."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                plain, _, subresource = resource.partition("/")
                for name in rule.get("resourceNames") or [""]:
                    for verb in rule["verbs"]:
                        permission = {"group": group, "resource": plain, "subresource": subresource, "verb": verb}
                        yield permission | {"name": name, "namespace": namespace}


def summary(missing: Sequence[Attributes]) -> str:
    """Return a short list of permissions, grouped by resource."""
    verbs: dict[str, list[str]] = {}
    for permission in missing:
        resource = permission["resource"] + (permission["subresource"] and f"/{permission['subresource']}")
        resource += (permission["group"] and f".{permission['group']}") + (
            permission["name"] and f" {permission['name']}"
        )
        verbs.setdefault(resource, []).append(permission["verb"])
    return "; ".join(f"{', '.join(known)} {resource}" for resource, known in verbs.items())


@dataclass
class Target:
    """The cluster behind a connection, and the permissions of its user in the client's namespace."""

    client: Client

    def check_server(self, pinned: str) -> str:
        """Return the URL of the API server. Raises ApiError if it is not the pinned one."""
        server = self.client.dynamic.configuration.host
        if pinned and not same_server(server, pinned):
            reason = f"leads to {server}, but cluster_server is pinned to {pinned}. No changes were made"
            raise OtherClusterError(f"The {self.client.where}", reason, REPIN)
        return server

    def check_uid(self, pinned: str) -> str:
        """Return the UID of the cluster if it can be read. Raises ApiError if it is not the pinned one."""
        try:
            uid = (self.client.get("Namespace", "kube-system") or {"metadata": {"uid": ""}})["metadata"]["uid"]
        except ApiError as error:
            if error.status != 403:
                raise
            if pinned:
                raise ApiError(
                    f"The UID of the cluster behind {self.client.where}",
                    f"cannot be compared with cluster_uid: {error.reason}",
                    f"Grant get on namespace kube-system, or pin cluster_server only, {AGAIN}",
                ) from None
            return ""
        if pinned and uid != pinned:
            reason = f"has the UID {uid}, but cluster_uid is pinned to {pinned}. No changes were made"
            raise OtherClusterError(f"The cluster behind {self.client.where}", reason, REPIN)
        return uid

    def check_version(self, minimum: str) -> str:
        """Return the Kubernetes version. Raises ApiError if it is lower than the minimum, for instance 1.30."""
        found = self.client.request("get", "/version") or {}
        version = f"{found.get('major', '')}.{found.get('minor', '').rstrip('+')}"
        if minimum and tuple(map(int, version.split("."))) < tuple(map(int, minimum.split("."))):
            reason = f"runs Kubernetes {version}, and the site needs {minimum} or later. No changes were made"
            step = f"Upgrade the cluster or use another one, {AGAIN}"
            raise ApiError(f"The cluster behind {self.client.where}", reason, step)
        return version

    def is_allowed(self, permission: Attributes) -> bool:
        """Return whether the user has a permission."""
        kind = "SelfSubjectAccessReview"
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"resourceAttributes": permission}}
        return bool((self.client.request("post", self.client.path(kind), body=review) or {})["status"].get("allowed"))

    def missing(self, permissions: list[Attributes]) -> list[Attributes]:
        """Return the permissions that the user lacks."""
        # A cluster administrator needs only one request.
        anything = {"group": "*", "resource": "*", "verb": "*"}
        if not permissions or self.is_allowed(anything):
            return []
        with ThreadPoolExecutor(REVIEWS) as pool:
            return [
                each
                for each, allowed in zip(permissions, pool.map(self.is_allowed, permissions), strict=True)
                if not allowed
            ]

    def check_permissions(self, name: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> None:
        """Raise ApiError, with sufficient Roles, if the user lacks a permission."""
        namespace = self.client.namespace
        wanted = list(reviews(rules, namespace)) + list(reviews(cluster_rules, ""))
        if self.is_namespace_missing():
            wanted.insert(0, {"group": "", "resource": "namespaces", "subresource": "", "verb": "create"} | NO_NAME)
        if missing := self.missing(wanted):
            raise ApiError(
                f"The user of {self.client.where} may not {summary(missing)} in namespace {namespace}. No "
                "changes were made. Ask a cluster administrator to run playbooks/deploy_account.yml or to grant these "
                f"Roles, {AGAIN}:\n{roles(name, namespace, rules, cluster_rules)}"
            )

    def is_namespace_missing(self) -> bool:
        """Return whether the namespace is missing; False if the user lacks the permission to read it."""
        try:
            return not self.client.namespace_exists()
        except ApiError as error:
            if error.status != 403:
                raise
            return False


def roles(name: str, namespace: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> str:
    """Return a sufficient Role and ClusterRole for a run, as YAML."""
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": name, "namespace": namespace}, "rules": rules}
    documents = [role]
    if cluster_rules:
        metadata = {"name": f"{namespace}:{name}"}
        documents.append({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": cluster_rules})
    # Through JSON, to avoid anchors for repeated values and the types of Ansible.
    return yaml.safe_dump_all(json.loads(json.dumps(documents)), sort_keys=False)
