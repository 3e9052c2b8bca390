"""Objects that namespace_content_info omits, and kinds that it lists."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.content import (
    is_automatic,
    listable,
    read,
)
from kubernetes.dynamic.resource import Resource, ResourceList


def item(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name} | metadata}


OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d", "uid": "1"}


@pytest.mark.parametrize(
    "automatic",
    [
        item("ServiceAccount", "default"),
        item("ConfigMap", "kube-root-ca.crt"),
        item("ConfigMap", "openshift-service-ca.crt"),
        item("Event", "web.17a"),
        item("EndpointSlice", "web-x2"),
        item("Endpoints", "web"),
        item("Lease", "some-controller"),
        item("PodMetrics", "web-7d-abc"),
        item("Pod", "web-7d-abc", ownerReferences=[OWNER]),
    ],
    ids=lambda value: f"{value['kind']}/{value['metadata']['name']}",
)
def test_objects_of_kubernetes_are_automatic(automatic: dict[str, Any]) -> None:
    assert is_automatic(automatic)


@pytest.mark.parametrize(
    "created",
    [
        item("ServiceAccount", "web"),
        item("ConfigMap", "default"),
        item("Secret", "kube-root-ca.crt"),
        item("Pod", "debug"),
        item("Pod", "debug", ownerReferences=[]),
        item("Pod", "debug", ownerReferences=None, deletionTimestamp=None),
        item("Deployment", "default"),
        item("PersistentVolumeClaim", "data"),
        item("Eventing", "broker"),
    ],
    ids=lambda value: f"{value['kind']}/{value['metadata']['name']}",
)
def test_objects_of_users_are_not_automatic(created: dict[str, Any]) -> None:
    assert not is_automatic(created)


def resource(kind: str, group: str = "", api_version: str = "v1", **changes: Any) -> Resource:
    settings = {"namespaced": True, "verbs": ["get", "list"], "preferred": True, "name": f"{kind.lower()}s"} | changes
    return Resource(
        prefix="apis" if group else "api", group=group, api_version=api_version, kind=kind, client=None, **settings
    )


def names(resources: list[Any]) -> list[str]:
    return [f"{found.group_version}/{found.kind}" for found in resources]


def test_namespaced_kinds_that_can_be_listed_are_chosen() -> None:
    found = [resource("ConfigMap"), resource("Deployment", "apps"), resource("Poll", "example.com", "v1alpha1")]
    assert listable(found) == found


@pytest.mark.parametrize(
    "omitted",
    [
        resource("Node", namespaced=False),
        resource("LocalSubjectAccessReview", "authorization.k8s.io", verbs=["create"]),
        resource("Binding", verbs=[]),
        resource("Binding", verbs=None),
        ResourceList(None, group="apps", api_version="v1", base_kind="Deployment"),
    ],
    ids=lambda value: value.kind,
)
def test_kinds_without_listable_objects_are_omitted(omitted: Any) -> None:
    assert names(listable([omitted, resource("Secret")])) == ["v1/Secret"]


def test_preferred_version_of_a_kind_is_chosen_in_any_order() -> None:
    old = resource("Poll", "example.com", "v1beta1", preferred=False)
    new = resource("Poll", "example.com", "v1", preferred=True)
    assert listable([old, new]) == [new]
    assert listable([new, old]) == [new]


def test_a_kind_without_a_preferred_version_is_chosen_once() -> None:
    versions = [resource("Poll", "example.com", version, preferred=False) for version in ("v1alpha1", "v1alpha2")]
    assert names(listable(versions)) == ["example.com/v1alpha1/Poll"]


def test_kinds_of_the_same_name_in_two_groups_are_both_chosen() -> None:
    found = [resource("Ingress", "networking.k8s.io"), resource("Ingress", "example.com")]
    assert listable(found) == found


def test_no_kind_is_chosen_from_an_empty_list() -> None:
    assert listable([]) == []


class Cluster(Client):
    """A cluster with one namespace, whose kind Poll can have an error status."""

    def __init__(self, items: dict[str, list[dict[str, Any]]], poll_status: int = 0, **namespace: Any) -> None:
        kinds = [resource("Pod"), resource("PersistentVolumeClaim"), resource("Poll", "example.com")]
        super().__init__(SimpleNamespace(resources=SimpleNamespace(search=lambda **_: kinds)), "polls")
        self.items, self.poll_status, self.held = items, poll_status, {"metadata": {"name": "polls"}} | namespace

    def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
        if path.endswith("/namespaces/polls"):
            return self.held
        if "example.com" in path and self.poll_status:
            raise ApiError("The kind Poll", "does not answer", "", self.poll_status)
        return {"items": self.items.get(path.rpartition("/")[2], [])}


CLAIM = {"metadata": {"name": "data", "deletionTimestamp": "2025-01-01T00:00:00Z"}}
USER = {
    "metadata": {"name": "copy"},
    "spec": {"nodeName": "one", "volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]},
    "status": {"phase": "Running"},
}


def test_objects_that_are_being_deleted_are_returned_with_the_reason() -> None:
    found = read(Cluster({"persistentvolumeclaims": [CLAIM], "pods": [USER]}))
    assert found["objects"] == ["Pod/copy"]
    assert found["going"] == ["PersistentVolumeClaim/data (pod copy still uses it)"]
    assert read(Cluster({"persistentvolumeclaims": [CLAIM]}))["going"] == ["PersistentVolumeClaim/data"]


def test_a_namespace_that_is_being_deleted_is_returned_with_its_condition() -> None:
    state = {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "Discovery failed."}
    metadata = {"name": "polls", "deletionTimestamp": "2025-01-01T00:00:00Z"}
    found = read(Cluster({}, metadata=metadata, status={"conditions": [state]}))
    assert found["going"] == ["Namespace/polls (Discovery failed)"]


@pytest.mark.parametrize(("status", "unreadable"), [(403, ["Poll"]), (405, []), (503, ["Poll"])])
def test_a_kind_that_cannot_be_listed_does_not_affect_others(status: int, unreadable: list[str]) -> None:
    found = read(Cluster({"pods": [USER]}, status))
    assert (found["objects"], found["unreadable"]) == (["Pod/copy"], unreadable)


def test_another_error_of_the_api_is_raised() -> None:
    with pytest.raises(ApiError, match="does not answer"):
        read(Cluster({}, 500))
