"""Comparisons, permission checks, and errors of cluster_check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import same_server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.target import Target, reviews, roles, summary
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.screen import arranged
from jinja2 import Environment
from kubernetes.client.exceptions import ApiException

PROJECT = Path(__file__).parents[3]

RULES = [
    {"apiGroups": [""], "resources": ["pods", "pods/exec"], "verbs": ["get", "create"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["polls"], "verbs": ["get"]},
]


class Api:
    """API server with the namespace kube-system and a user with the permissions `allowed`."""

    def __init__(self, allowed: Any = lambda wanted: False, status: int = 0, namespace: bool = True) -> None:
        self.allowed, self.status, self.namespace = allowed, status, namespace
        self.configuration = SimpleNamespace(host="https://127.0.0.1:6443")
        self.reviews: list[dict[str, str]] = []

    def request(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        if method == "post":
            review = body["spec"]["resourceAttributes"]
            self.reviews.append(review)
            return SimpleNamespace(data=json.dumps({"status": {"allowed": self.allowed(review)}}))
        if self.status:
            raise ApiException(status=self.status, reason="Forbidden")
        if path.endswith("/polls") and not self.namespace:
            raise ApiException(status=404)
        return SimpleNamespace(data=json.dumps({"metadata": {"uid": "one"}}))


def check(api: Api) -> Target:
    return Target(Client(api, "polls", "context staging"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a:6443", "https://a:6443/", True),
        ("https://a", "https://A:443", True),
        ("https://a/k8s/c-1", "https://a/k8s/c-1/", True),
        ("https://a/k8s/c-1", "https://a/k8s/c-2", False),
        ("https://a:6443", "http://a:6443", False),
        ("https://a:6443", "https://a:6444", False),
        ("https://[::1]:6443", "https://[::1]:6443", True),
    ],
)
def test_servers_are_compared_without_spelling(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same


def test_a_matching_pin_is_accepted() -> None:
    assert check(Api()).check_server("https://127.0.0.1:6443/") == "https://127.0.0.1:6443"
    assert check(Api()).check_uid("one") == "one"
    assert check(Api()).check_server("") == "https://127.0.0.1:6443"


def test_another_server_is_refused() -> None:
    words = r"The context staging leads to https://127\.0\.0\.1:6443, but cluster_server is pinned to https://a\. No"
    with pytest.raises(ApiError, match=words):
        check(Api()).check_server("https://a")


def test_another_cluster_at_the_same_address_is_refused() -> None:
    with pytest.raises(ApiError, match=r"has the UID one, but cluster_uid is pinned to two\. No changes"):
        check(Api()).check_uid("two")


class Exits:
    """A module that exits with its result as the message."""

    def fail_json(self, **result: Any) -> None:
        raise SystemExit(json.dumps({"failed": True} | result))


def ended(refused: Callable[[], Any]) -> dict[str, Any]:
    """Return the result of a module whose work raises an error."""
    with pytest.raises(SystemExit) as exit_:
        conclude(Exits(), refused)
    return json.loads(str(exit_.value))


def removal_fails(result: dict[str, Any]) -> bool:
    """Return whether the role cluster stops a removal because of a result."""
    tasks = yaml.safe_load((PROJECT / "roles/cluster/tasks/absent.yml").read_text(encoding="utf-8"))
    [condition] = [task["failed_when"] for task in tasks[1]["block"] if task.get("register") == "__cluster_removal"]
    return bool(Environment().compile_expression(condition)(__cluster_removal=result))


@pytest.mark.parametrize("text", ["", "It is not the one.", "cluster_uid is pinned to two"])
def test_removal_of_another_cluster_is_stopped_regardless_of_the_message(text: str) -> None:
    for refused in (lambda: check(Api()).check_uid("two"), lambda: check(Api()).check_server("https://a")):
        assert removal_fails(ended(refused) | {"msg": text})


@pytest.mark.parametrize("text", ["It does not respond.", "No cluster_uid is pinned to this name."])
def test_removal_of_an_unavailable_cluster_continues_regardless_of_the_message(text: str) -> None:
    assert not removal_fails(ended(lambda: check(Api(status=503)).check_uid("one")) | {"msg": text})


def test_a_uid_that_may_not_be_read_is_an_error_only_if_pinned() -> None:
    assert check(Api(status=403)).check_uid("") == ""
    with pytest.raises(ApiError, match="cannot be compared with cluster_uid: 403 Forbidden"):
        check(Api(status=403)).check_uid("one")


def test_each_permission_is_checked_separately() -> None:
    found = list(reviews(RULES, "polls"))
    assert len(found) == 6
    exec_permission = {"group": "", "resource": "pods", "subresource": "exec", "verb": "create"}
    assert exec_permission | {"name": "", "namespace": "polls"} in found
    namespace_permission = {"group": "", "resource": "namespaces", "subresource": "", "verb": "get"}
    assert namespace_permission | {"name": "polls", "namespace": "polls"} in found


def test_an_administrator_needs_one_request() -> None:
    api = Api(allowed=lambda wanted: True)
    check(api).check_permissions("deployer", RULES, [])
    assert [review["resource"] for review in api.reviews] == ["*"]


def test_a_user_with_exactly_these_permissions_is_accepted() -> None:
    api = Api(allowed=lambda wanted: wanted["resource"] != "*")
    check(api).check_permissions("deployer", RULES, [])
    assert len(api.reviews) == 7


def test_missing_permissions_are_reported_with_sufficient_roles() -> None:
    api = Api(allowed=lambda wanted: wanted["resource"] == "pods" and wanted["verb"] == "get")
    wide = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    with pytest.raises(ApiError) as error:
        check(api).check_permissions("deployer", RULES, wide)
    sentence, _, documents = str(error.value).partition("then rerun the playbook:\n")
    assert sentence.startswith(
        "The user of context staging may not create pods; create pods/exec; patch deployments.apps; "
        "get namespaces polls; list nodes in namespace polls. No changes were made."
    )
    role, cluster_role = yaml.safe_load_all(documents)
    assert role["metadata"] == {"name": "deployer", "namespace": "polls"}
    assert role["rules"] == RULES
    assert cluster_role["metadata"] == {"name": "polls:deployer"}
    assert cluster_role["rules"] == wide


def test_the_next_step_of_missing_permissions_follows_the_roles() -> None:
    many = [{"apiGroups": [f"group-{number}"], "resources": ["all"], "verbs": ["get"]} for number in range(30)]
    with pytest.raises(ApiError) as error:
        check(Api()).check_permissions("deployer", [*RULES, *many], many)
    details, lines = arranged(str(error.value))
    assert details[-1].endswith("- get")
    assert lines[0].endswith("No changes were made.")
    assert len(lines) == 2
    assert lines[1].startswith(
        "Ask a cluster administrator to run playbooks/deploy_account.yml or to grant these Roles, "
    )


def test_a_missing_namespace_requires_the_permission_to_create_it() -> None:
    api = Api(allowed=lambda wanted: wanted["verb"] not in ("*", "create"), namespace=False)
    with pytest.raises(
        ApiError, match=r"may not create namespaces; create pods; create pods/exec in namespace polls\. No"
    ):
        check(api).check_permissions("deployer", RULES, [])


def test_a_namespace_that_may_not_be_read_is_a_missing_permission() -> None:
    api = Api(allowed=lambda wanted: wanted["resource"] not in ("*", "namespaces"), status=403)
    with pytest.raises(ApiError, match="may not get namespaces polls in namespace polls"):
        check(api).check_permissions("deployer", RULES, [])


def test_roles_are_written_without_anchors() -> None:
    shared = ["get"]
    assert "&" not in roles("deployer", "polls", [{"apiGroups": shared, "resources": shared, "verbs": shared}], [])


def test_permissions_are_grouped_by_resource() -> None:
    assert summary(list(reviews(RULES[:1], "polls"))) == "get, create pods; get, create pods/exec"


@pytest.mark.parametrize(
    ("major", "minor", "accepted"), [("1", "29", False), ("1", "30", True), ("1", "36+", True), ("2", "0", True)]
)
def test_an_old_cluster_is_refused(major: str, minor: str, accepted: bool) -> None:
    api = Api()
    api.request = lambda *_, **__: SimpleNamespace(data=json.dumps({"major": major, "minor": minor}))  # type: ignore[method-assign]
    target = check(api)
    if accepted:
        assert target.check_version("1.30") == f"{major}.{minor.rstrip('+')}"
        return
    with pytest.raises(ApiError, match=r"runs Kubernetes 1\.29, and the site needs 1\.30 or later\. No changes"):
        target.check_version("1.30")
