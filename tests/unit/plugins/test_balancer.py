"""The address of a load balancer: how long a run waits for it, and the error without it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import balancer
from ansible_collections.cloud_django.kubernetes.plugins.modules import load_balancer_info
from postgresql_cases import assert_documented


class Services:
    """A client for a Service whose load balancer comes after some seconds, or never."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, comes: float | None, said: str = "", **entry: str) -> None:
        self.now, self.comes, self.said, self.entry = 0.0, comes, said, entry
        self.finalizers: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(balancer, "Pace", lambda: progress.Pace(lambda: self.now))
        monkeypatch.setattr(progress.Screen, "show", staticmethod(self.lines.append))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        there = self.comes is not None and self.now >= self.comes
        status = {"loadBalancer": {"ingress": [self.entry]} if there else {}}
        return {"metadata": {"name": name, "finalizers": self.finalizers}, "status": status}

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        return [{"metadata": {}, "message": self.said}] if self.said else []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, check_mode: bool = False) -> str:
        params = {"namespace": "polls", "name": "polls-web", "timeout": 120}
        return balancer.run(params, check_mode, self, self.sleep)["address"]


@pytest.mark.parametrize(
    "entry", [{"ip": "192.0.2.10"}, {"hostname": "lb.example.org", "ip": ""}, {"ip": "2001:db8::1"}]
)
def test_an_address_is_waited_for_with_lines(entry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(monkeypatch, 65, "Ensuring load balancer", **entry)
    assert services.run() == entry.get("hostname", entry.get("ip"))
    assert services.lines[0] == "  8 s: Service polls-web has no address of a load balancer: Ensuring load balancer"
    assert len(services.lines) == 8


def test_a_cluster_without_load_balancers_is_told_early(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(monkeypatch, None)
    with pytest.raises(ApiError, match=r"after 30 s: no controller has taken it up\. Install") as error:
        services.run()
    assert "web_service_type" in str(error.value)
    services = Services(monkeypatch, 40, ip="192.0.2.10")
    services.finalizers = ["service.kubernetes.io/load-balancer-cleanup"]
    assert services.run() == "192.0.2.10"


def test_a_load_balancer_that_fails_is_told_with_its_event(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiError, match="after 120 s: no addresses are left"):
        Services(monkeypatch, None, "no addresses are left.").run()


def test_check_mode_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(monkeypatch, 10, ip="192.0.2.10")
    assert services.run(check_mode=True) == ""
    assert services.now == 0


def test_documentation_and_arguments_agree() -> None:
    assert_documented(load_balancer_info)
