"""Connection of the API client, and exit codes of programs in containers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import exit_code, explain
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b'{"status": "Success"}', 0),
        ('{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}', 3),
        ('{"status": "Failure", "message": "no such file"}', 255),
        ("", 255),
    ],
)
def test_exit_codes(status: bytes | str, code: int) -> None:
    assert exit_code(status) == code


def test_the_error_of_an_unavailable_api_names_the_command_that_starts_its_cluster() -> None:
    sentence = str(explain(ConnectionRefusedError(111, "Connection refused"), "context polls"))
    assert sentence.endswith("then rerun the playbook. If `make up` created the cluster, it also starts the cluster.")


@pytest.mark.parametrize("params", [{}, {"kubeconfig": "x"}, {"context": "x"}])
def test_kubeconfig_and_context_are_required(params: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ApiError, match="This task needs both kubeconfig and context"):
        connect(SimpleNamespace(params=params | {"namespace": "polls"}))
