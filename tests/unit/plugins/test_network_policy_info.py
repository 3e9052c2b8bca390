"""The module network_policy_info: the selected pods, and the exit code of the command."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.network_policies import run

PARAMS = {"label_selectors": ["a=b", "c=d"], "container": "web", "command": ["try"]}


class Recorded:
    """Cluster with pods, in which the command exits with a code."""

    def __init__(self, pods: list[dict[str, Any]], code: int = 0) -> None:
        self.pods, self.code, self.ran = pods, code, []

    def list(self, kind: str, label_selector: str) -> list[dict[str, Any]]:
        assert (kind, label_selector) == ("Pod", "a=b,c=d")
        return self.pods

    def exec(self, *arguments: Any, timeout: float) -> Result:
        self.ran.append(arguments)
        return Result(self.code, "", "")


def pod(name: str, ready: str = "True", **metadata: str) -> dict[str, Any]:
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"name": name, **metadata}, "status": {"podIP": f"10.0.0.{name}", "conditions": conditions}}


@pytest.mark.parametrize(("code", "enforced"), [(0, False), (3, True), (1, None), (127, None)])
def test_the_exit_code_shows_enforcement(code: int, enforced: bool | None) -> None:
    cluster = Recorded([pod("1", "False"), pod("2"), pod("3", deletionTimestamp="now"), pod("4")], code)
    assert run(PARAMS, False, cluster) == {"pod": "2", "enforced": enforced}
    assert cluster.ran == [("2", "web", ["try", "10.0.0.4"])]


@pytest.mark.parametrize(
    "pods", [[], [pod("1")], [pod("1"), pod("2", "False")], [pod("1"), {"metadata": {"name": "2"}}]]
)
def test_fewer_than_two_ready_pods_return_null(pods: list[dict[str, Any]]) -> None:
    cluster = Recorded(pods)
    assert run(PARAMS, False, cluster) == {"pod": "", "enforced": None}
    assert cluster.ran == []
