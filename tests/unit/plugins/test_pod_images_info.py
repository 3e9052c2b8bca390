"""Which images of pods pod_images_info returns."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.modules.pod_images_info import read


def pod(*containers: str, init: list[str] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"image": image} for image in containers]}
    return {"spec": spec if init is None else spec | {"initContainers": [{"image": image} for image in init]}}


def test_images_of_all_containers_in_all_namespaces_are_returned_once() -> None:
    client = MagicMock(spec=Client)
    client.list.return_value = [
        pod("polls:2", "front:1"),
        pod("polls:2", init=["postgresql:17"]),
        pod("cache:8", init=[]),
    ]
    assert read({}, True, client) == {"images": ["cache:8", "front:1", "polls:2", "postgresql:17"]}
    client.list.assert_called_once_with("Pod", namespace="")
