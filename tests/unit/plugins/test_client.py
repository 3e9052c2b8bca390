"""Requests of the API client, and its results and errors."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import client as api_client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import (
    REQUEST_LIMIT,
    WRITE_LIMIT,
    Client,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import handshake
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import ws_client

FORBIDDEN = (
    "Handshake status 403 Forbidden -+-+- {'content-type': 'application/json'} -+-+- "
    '{"kind":"Status","metadata":{},"status":"Failure","message":"pods \\"polls-0\\" is forbidden: no","code":403}'
)


@pytest.mark.parametrize(
    ("reason", "words"),
    [(FORBIDDEN, 'pods "polls-0" is forbidden: no'), ("Connection refused", "Connection refused"), (None, "None")],
)
def test_a_refused_connection_has_the_message_of_the_api(reason: str | None, words: str) -> None:
    assert handshake(reason) == words


class Api:
    """API that returns the given objects and error statuses in their order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, path: str, **options: Any) -> Any:
        self.sent.append((method, path, options))
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, int):
            raise ApiException(status=answer, reason="no")
        if isinstance(answer, ApiException):
            raise answer
        return SimpleNamespace(data=json.dumps(answer))


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "uid": "1"}}


def test_writes_have_a_longer_timeout_for_webhooks() -> None:
    api = Api()
    client = Client(api, "polls")
    client.get("Pod", "one")
    client.remove(POD)
    client.delete("Pod", "one")
    client.patch("Pod", "one", {})
    client.create(POD)
    limits = [options["_request_timeout"] for _, _, options in api.sent]
    assert limits == [REQUEST_LIMIT, *[WRITE_LIMIT] * 4]
    assert WRITE_LIMIT[1] > 30


def test_errors_mask_values_of_secrets_but_no_names() -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    words = "password s3cret-word of database polls in namespace polls is wrong"
    refused = ApiException(status=403, reason="no")
    refused.body = json.dumps({"message": words})
    data = {"password": encoded("s3cret-word"), "database": encoded("polls")}
    client = Client(Api({"data": data}, {"data": data}, refused), "polls")
    client.get("Secret", "access")
    client.get("Secret", "access")
    assert len(client.secret_values) == 1
    with pytest.raises(ApiError) as error:
        client.get("Pod", "one")
    assert "password ******** of database polls in namespace polls" in str(error.value)


def test_values_of_a_refused_secret_are_masked() -> None:
    value = base64.b64encode(b"s3cret-word").decode()
    refused = ApiException(status=403, reason="no")
    refused.body = json.dumps({"message": f"the webhook dislikes {value}"})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "access"}, "data": {"password": value}}
    with pytest.raises(ApiError) as error:
        Client(Api(refused), "polls").apply(secret)
    assert value not in str(error.value)


def test_discovery_of_a_kind_is_repeated_after_an_error() -> None:
    kinds = {"resources": [{"kind": "Gateway", "name": "gateways", "namespaced": True}]}
    client = Client(Api(503, kinds), "polls")
    with pytest.raises(ApiError):
        client.plural("gateway.networking.k8s.io/v1", "Gateway")
    assert client.plural("gateway.networking.k8s.io/v1", "Gateway") == "gateways"


def test_a_missing_namespace_and_a_missing_kind_have_different_errors() -> None:
    with pytest.raises(ApiError, match="its namespace does not exist"):
        Client(Api(404), "polls").create(POD)
    service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.metrics"}}
    with pytest.raises(ApiError, match="the cluster does not have its kind"):
        Client(Api(404)).create(service)


class Slow:
    """A slow program in a container, with a clock that advances only during waits."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def run_forever(self, timeout: float) -> None:
        self.now = min(self.now + timeout, max(self.seconds, self.now))

    def is_open(self) -> bool:
        return self.now < self.seconds

    def read_channel(self, channel: int) -> bytes:
        return b'{"status": "Success"}' if channel == 3 else b""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(("seconds", "lines"), [(1, 0), (20, 2)])
def test_a_slow_program_prints_progress_lines(seconds: float, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, lines_shown = Slow(seconds), []
    monkeypatch.setattr(ws_client, "websocket_call", lambda *_, **__: slow)
    monkeypatch.setattr(api_client, "Pace", lambda: progress.Pace(lambda: slow.now))
    monkeypatch.setattr(progress.Screen, "show", staticmethod(lines_shown.append))
    configuration = SimpleNamespace(host="https://k8s.example.org", auth_settings=dict)
    client = Client(SimpleNamespace(configuration=configuration), "polls")
    assert client.exec("polls-0", "postgresql", ["psql"], timeout=30).code == 0
    assert lines_shown == [
        f"  {8 * i} s: psql in container postgresql of pod polls-0 is still running" for i in range(1, lines + 1)
    ]
    slow.now, slow.seconds = 0, 60
    with pytest.raises(ApiError, match="Program psql in pod polls-0 did not exit within 30 s"):
        client.exec("polls-0", "postgresql", ["psql"], timeout=30)
