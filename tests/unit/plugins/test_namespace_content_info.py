"""What namespace_content_info leaves out, and which kinds it asks the API server for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.content import is_automatic, listable
from kubernetes.dynamic.resource import Resource, ResourceList


def item(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name} | metadata}


OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d", "uid": "1"}


@pytest.mark.parametrize(
    "made_by_kubernetes",
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
        item("Deployment", "web", deletionTimestamp="2025-01-01T00:00:00Z"),
    ],
    ids=lambda value: f"{value['kind']}/{value['metadata']['name']}",
)
def test_what_nobody_asked_for_is_automatic(made_by_kubernetes: dict[str, Any]) -> None:
    assert is_automatic(made_by_kubernetes)


@pytest.mark.parametrize(
    "made_by_somebody",
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
def test_what_somebody_made_is_not_automatic(made_by_somebody: dict[str, Any]) -> None:
    assert not is_automatic(made_by_somebody)


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
    "left_out",
    [
        resource("Node", namespaced=False),
        resource("LocalSubjectAccessReview", "authorization.k8s.io", verbs=["create"]),
        resource("Binding", verbs=[]),
        resource("Binding", verbs=None),
        ResourceList(None, group="apps", api_version="v1", base_kind="Deployment"),
    ],
    ids=lambda value: value.kind,
)
def test_kinds_that_hold_nothing_of_a_namespace_are_left_out(left_out: Any) -> None:
    assert names(listable([left_out, resource("Secret")])) == ["v1/Secret"]


def test_preferred_version_of_a_kind_is_chosen_whatever_the_order() -> None:
    old = resource("Poll", "example.com", "v1beta1", preferred=False)
    new = resource("Poll", "example.com", "v1", preferred=True)
    assert listable([old, new]) == [new]
    assert listable([new, old]) == [new]


def test_kind_that_its_groups_preferred_version_lacks_is_chosen_once() -> None:
    versions = [resource("Poll", "example.com", version, preferred=False) for version in ("v1alpha1", "v1alpha2")]
    assert names(listable(versions)) == ["example.com/v1alpha1/Poll"]


def test_kinds_of_the_same_name_in_two_groups_are_both_chosen() -> None:
    found = [resource("Ingress", "networking.k8s.io"), resource("Ingress", "example.com")]
    assert listable(found) == found


def test_nothing_is_chosen_from_nothing() -> None:
    assert listable([]) == []
