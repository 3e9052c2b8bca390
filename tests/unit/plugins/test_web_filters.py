"""Filters of the role web."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.filter.web_probes import web_probes
from ansible_collections.cloud_django.kubernetes.plugins.filter.web_statics import web_statics

PLACE = {"front": True, "port": 8080, "headers": {"Host": "a"}, "connect_path": "/connects", "manage": ["netbox"]}
DEFAULTS = {
    "live": {"tcp": True, "failures": 6},
    "ready": {"http": "/ready", "headers": {"X": "1"}},
    "startup": {"tcp": True},
}
MOUNTS = [
    {"name": "temporary", "mountPath": "/tmp"},
    {"name": "data", "mountPath": "/data"},
    {"name": "inner", "mountPath": "/data/inner", "subPath": "a"},
]


def test_another_check_keeps_only_the_numbers() -> None:
    live = web_probes({"live": {"http": "/live"}}, DEFAULTS, PLACE)["web"]["livenessProbe"]
    assert (live["httpGet"]["path"], live["failureThreshold"]) == ("/live", 6)
    ready = web_probes({"ready": {"http": "/other"}}, DEFAULTS, PLACE)["front"]["readinessProbe"]
    assert ready["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "a"}]


def test_numbers_alone_keep_the_check() -> None:
    ready = web_probes({"ready": {"period": "9"}}, DEFAULTS, PLACE)["front"]["readinessProbe"]
    assert (ready["httpGet"]["path"], ready["periodSeconds"]) == ("/ready", 9)
    assert {"name": "X", "value": "1"} in ready["httpGet"]["httpHeaders"]


@pytest.mark.parametrize(("startup", "delay"), [({"period": 2, "failures": 50}, 100), (None, None)])
def test_startup_delays_the_live_probe(startup: dict[str, int] | None, delay: int | None) -> None:
    live = web_probes({"startup": startup}, DEFAULTS, PLACE)["web"]["livenessProbe"]
    assert live.get("initialDelaySeconds") == delay


def test_startup_command_is_a_probe() -> None:
    web = web_probes({"startup": {"exec": ["manage", "check"]}}, DEFAULTS, PLACE)["web"]
    assert web["startupProbe"]["exec"]["command"] == ["netbox", "check"]
    assert "initialDelaySeconds" not in web["livenessProbe"]


def test_ready_can_be_a_connection() -> None:
    found = web_probes({"ready": {"tcp": True}}, DEFAULTS, PLACE)
    assert found["front"]["readinessProbe"]["httpGet"]["path"] == "/connects"


def test_disabled_probe_is_left_out() -> None:
    found = web_probes({"live": None, "ready": None}, DEFAULTS, PLACE)
    assert found == {"web": {}, "front": {}}


@pytest.mark.parametrize(
    ("source", "name", "part"),
    [
        ("/data/media", "data", "media"),
        ("/data", "data", None),
        ("/data/", "data", None),
        ("/data/inner/x/y", "inner", "a/x/y"),
        ("/data/inner", "inner", "a"),
        ("/database", "statics", "0"),
        ("/app", "statics", "0"),
    ],
)
def test_innermost_mount_provides_the_files(source: str, name: str, part: str | None) -> None:
    [found] = web_statics({"/x/": source}, MOUNTS)
    assert (found["mount"]["name"], found["mount"].get("subPath")) == (name, part)
    assert found["media"] == (name != "statics")


def test_longest_path_is_first() -> None:
    found = web_statics({"/s/": "/a", "/s/admin/": "/b"}, [])
    assert [each["path"] for each in found] == ["/s/admin/", "/s/"]
    assert len({each["root"] for each in found}) == 2
