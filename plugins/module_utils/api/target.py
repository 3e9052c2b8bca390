# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Check that a connection leads to the intended cluster, and that its user has the permissions that a run needs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import same_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, OtherClusterError

# At the same time. Each answer takes little more than the way there and back.
REVIEWS = 8
RBAC = "rbac.authorization.k8s.io/v1"
REPIN = "Use the kubeconfig of the pinned cluster, or pin this one by `make pin`"
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
                        asked = {"group": group, "resource": plain, "subresource": subresource, "verb": verb}
                        yield asked | {"name": name, "namespace": namespace}


def in_words(missing: Sequence[Attributes]) -> str:
    """Return permissions in a few words, those on the same resource together."""
    verbs: dict[str, list[str]] = {}
    for asked in missing:
        resource = asked["resource"] + (asked["subresource"] and f"/{asked['subresource']}")
        resource += (asked["group"] and f".{asked['group']}") + (asked["name"] and f" {asked['name']}")
        verbs.setdefault(resource, []).append(asked["verb"])
    return "; ".join(f"{', '.join(known)} {resource}" for resource, known in verbs.items())


@dataclass
class Target:
    """The cluster behind a connection, and what its user may do in the namespace of the client."""

    client: Client

    def check_server(self, pinned: str) -> str:
        """Return the address of the API server. Raises ApiError if it is not the pinned one."""
        server = self.client.dynamic.configuration.host
        if pinned and not same_server(server, pinned):
            reason = f"leads to {server}, and cluster_server is pinned to {pinned}, so nothing in it was changed"
            raise OtherClusterError(f"The {self.client.where}", reason, REPIN)
        return server

    def check_uid(self, pinned: str) -> str:
        """Return the UID of the cluster, if it can be read. Raises ApiError if it is not the pinned one."""
        try:
            uid = (self.client.get("Namespace", "kube-system") or {"metadata": {"uid": ""}})["metadata"]["uid"]
        except ApiError as error:
            if error.status != 403:
                raise
            if pinned:
                raise ApiError(
                    f"The UID of the cluster behind {self.client.where}",
                    f"cannot be compared with cluster_uid: {error.reason}",
                    "Grant get on namespace kube-system, or pin cluster_server only",
                ) from None
            return ""
        if pinned and uid != pinned:
            reason = f"has the UID {uid}, and cluster_uid is pinned to {pinned}, so nothing in it was changed"
            raise OtherClusterError(f"The cluster behind {self.client.where}", reason, REPIN)
        return uid

    def check_version(self, minimum: str) -> str:
        """Return the version of Kubernetes. Raises ApiError if it is lower than the minimum, for instance 1.30."""
        told = self.client.request("get", "/version") or {}
        version = f"{told.get('major', '')}.{told.get('minor', '').rstrip('+')}"
        if minimum and tuple(map(int, version.split("."))) < tuple(map(int, minimum.split("."))):
            reason = f"is Kubernetes {version}, and the site needs {minimum}, so nothing was changed"
            raise ApiError(f"The cluster behind {self.client.where}", reason, "Upgrade the cluster, or use another one")
        return version

    def is_allowed(self, asked: Attributes) -> bool:
        """Tell whether the user has a permission."""
        kind = "SelfSubjectAccessReview"
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"resourceAttributes": asked}}
        return bool((self.client.request("post", self.client.path(kind), body=review) or {})["status"].get("allowed"))

    def missing(self, asked: list[Attributes]) -> list[Attributes]:
        """Return which of these permissions the user lacks."""
        # An administrator is asked about once.
        anything = {"group": "*", "resource": "*", "verb": "*"}
        if not asked or self.is_allowed(anything):
            return []
        with ThreadPoolExecutor(REVIEWS) as pool:
            return [each for each, allowed in zip(asked, pool.map(self.is_allowed, asked), strict=True) if not allowed]

    def check_permissions(self, name: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> None:
        """Raise ApiError, with the Roles that would suffice, if the user may not do all of this."""
        namespace = self.client.namespace
        wanted = list(reviews(rules, namespace)) + list(reviews(cluster_rules, ""))
        if self.is_namespace_missing():
            wanted.insert(0, {"group": "", "resource": "namespaces", "subresource": "", "verb": "create"} | NO_NAME)
        if missing := self.missing(wanted):
            raise ApiError(
                f"The user of {self.client.where} may not {in_words(missing)} in namespace {namespace}, so nothing was "
                "changed. Let an administrator run playbooks/deploy_account.yml, which makes an account with these "
                f"Roles, or grant them:\n{roles(name, namespace, rules, cluster_rules)}"
            )

    def is_namespace_missing(self) -> bool:
        """Tell whether the namespace has to be created; False if the user may not know, who then lacks permissions."""
        try:
            return not self.client.namespace_exists()
        except ApiError as error:
            if error.status != 403:
                raise
            return False


def roles(name: str, namespace: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]) -> str:
    """Return a Role and a ClusterRole that suffice for a run, as YAML."""
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": name, "namespace": namespace}, "rules": rules}
    documents = [role]
    if cluster_rules:
        metadata = {"name": f"{namespace}:{name}"}
        documents.append({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": cluster_rules})
    # Without anchors for what stands there twice, and without the types of Ansible's own.
    return yaml.safe_dump_all(json.loads(json.dumps(documents)), sort_keys=False)
