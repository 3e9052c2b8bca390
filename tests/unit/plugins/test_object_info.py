"""Results and waits of object_info, which shows neither values of Secrets nor a raw Status."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import info
from ansible_collections.cloud_django.kubernetes.plugins.modules import object_info
from kubernetes.client.exceptions import ApiException
from postgresql_cases import assert_documented

PROJECT = Path(__file__).parents[3]
SECRET = {
    "metadata": {"name": "polls-superuser", "annotations": {"copy": "cGFzcw=="}},
    "data": {"username": "YWRtaW4=", "password": "cGFzcw=="},
}


def client(answer: Any) -> Client:
    """Return a client whose API has one response."""

    def request(method: str, path: str, **_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer))

    return Client(SimpleNamespace(request=request), "polls", "context staging")


def read(answer: Any, **options: Any) -> dict[str, Any]:
    params = {"api_version": "v1", "kind": "Secret", "name": "", "keys": [], "condition": "", "timeout": 0} | options
    return info.run(params, False, client(answer), sleep=lambda _: None)


def test_only_the_listed_keys_of_a_secret_are_returned() -> None:
    [found] = read(SECRET, name="polls-superuser", keys=["username"])["resources"]
    assert found["data"] == {"username": "YWRtaW4="}
    assert "cGFzcw" not in json.dumps([found, read({"items": [SECRET]}), read(SECRET, name="polls-superuser")])


def test_other_kinds_are_returned_completely_and_missing_objects_are_empty() -> None:
    assert read({"items": [{"metadata": {"name": "a"}}]}, kind="Pod")["resources"][0]["metadata"] == {"name": "a"}
    assert read(ApiException(status=404), name="polls-superuser") == {"resources": []}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, "it has no such condition yet"),
        ({"conditions": [{"type": "Available", "status": "False", "message": "no endpoints."}]}, "no endpoints"),
    ],
)
def test_the_error_of_a_timeout_has_the_reason(status: dict[str, Any], reason: str) -> None:
    options = {"kind": "APIService", "api_version": "apiregistration.k8s.io/v1", "name": "v1", "condition": "Available"}
    with pytest.raises(ApiError, match=f"APIService v1 is not Available after 0 s: {reason}. Fix the cause"):
        read({"metadata": {"name": "v1"}, "status": status}, **options)
    met = {"conditions": [{"type": "Available", "status": "True"}]}
    assert read({"metadata": {"name": "v1"}, "status": met}, **options)["resources"]


def test_a_refusal_is_an_error_without_the_raw_status() -> None:
    refused = ApiException(status=403, reason="Forbidden")
    refused.body = json.dumps({"kind": "Status", "message": 'secrets "x" is forbidden', "code": 403})
    with pytest.raises(ApiError) as error:
        read(refused, name="x")
    assert str(error.value).startswith('Secret x in namespace polls cannot be read: 403 secrets "x" is forbidden.')
    assert "{" not in str(error.value)


def test_no_task_uses_a_module_that_shows_a_raw_status() -> None:
    for path in [*PROJECT.glob("roles/*/tasks/*.yml"), *PROJECT.glob("playbooks/**/*.yml")]:
        text = path.read_text(encoding="utf-8")
        assert yaml.safe_load(text) is None or "kubernetes.core.k8s" not in text, path


def test_documentation_and_arguments_agree() -> None:
    assert_documented(object_info)
