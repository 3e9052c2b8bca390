"""What volume_claim_wait waits for, and its sentences. A fake client answers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_bound
from ansible_collections.cloud_django.kubernetes.plugins.modules import volume_claim_wait
from postgresql_cases import assert_documented

NAME = "polls-postgresql"


class Claims:
    """A client for a namespace with one claim, or with none."""

    namespace = "polls"

    def __init__(self, phase: str = "", **spec: str) -> None:
        self.claim = {"spec": {"storageClassName": "standard", **spec}, "status": {"phase": phase}} if phase else None

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        assert (kind, name) == ("PersistentVolumeClaim", NAME)
        return self.claim

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        assert (kind, name) == ("PersistentVolumeClaim", NAME)
        return [
            {"type": "Normal", "message": "waits"},
            {"type": "Warning", "message": "no\nroom."},
            {"message": "waits"},
        ]


def test_a_claim_is_waited_for() -> None:
    client = Claims("Pending")

    def bind(_: float) -> None:
        client.claim = Claims("Bound", volumeName="pvc-1").claim

    assert wait_until_bound(client, NAME, 5, bind) == "pvc-1"


def test_a_claim_that_never_binds_is_told_with_the_warning() -> None:
    with pytest.raises(
        ApiError, match=r"Claim polls-postgresql has no volume after 0 s, .* class is standard: no room\. "
    ):
        wait_until_bound(Claims("Pending"), NAME, 0)


def test_a_claim_that_lost_its_volume_or_is_missing_is_told() -> None:
    with pytest.raises(ApiError, match="was removed behind its back"):
        wait_until_bound(Claims("Lost"), NAME, 5)
    with pytest.raises(ApiError, match="Claim polls-postgresql in namespace polls does not exist"):
        wait_until_bound(Claims(), NAME, 5)


def test_documentation_and_arguments_agree() -> None:
    assert_documented(volume_claim_wait)
