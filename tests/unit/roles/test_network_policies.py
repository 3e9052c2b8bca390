"""Ports and addresses in the NetworkPolicies that the roles render."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendering import rendered_in_play

SITE = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "", "django_image": "none"}
DNS = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
RESOLVER = {"to": [{"ipBlock": {"cidr": "10.0.0.2/32"}}], "ports": [{"port": 1053, "protocol": "UDP"}]}


def rendered(folder: Path, **variables: Any) -> dict[str, Any]:
    """Return the policies of web pods, Jobs, servers, and client pods, and the refusals of the role postgresql."""
    names = {"web": "__web_network_policy", "job": "__django_job_network_policy", "client": "__database_network_policy"}
    names |= {"server": "__postgresql_network_policy", "service": "__postgresql_service"}
    names |= {"cache": "__cache_network_policy", "check": "__cache_check_network_policy"}
    names |= {"cache_service": "__cache_service", "pod": "__web_pod_labels", "refusal": "__postgresql_refusals | join"}
    entry_points = {"postgresql": "main", "database": "main", "cache": "main", "web": "check_replicas"}
    # Without a cache, unless a test is about it.
    return rendered_in_play(folder, names, entry_points, SITE | {"cache_state": "absent"} | variables)


@pytest.mark.parametrize(
    "variables",
    [
        {"postgresql_backend": "external", "postgresql_port": 25060},
        # With -e, a number is a string.
        {"postgresql_backend": "external", "postgresql_port": "25060"},
        {"database_backend": "external", "database_port": 25060},
    ],
)
def test_port_of_an_external_server_is_allowed_for_site_jobs_and_client(
    tmp_path: Path, variables: dict[str, Any]
) -> None:
    found = rendered(tmp_path, postgresql_host="db.example.org", **variables)
    server = {"ports": [{"port": 25060, "protocol": "TCP"}]}
    for name in ("web", "job", "client"):
        rules = found[name]["spec"]["egress"]
        assert server in rules, name
        assert len(rules) == 2, "and DNS, but nothing else"


def test_builtin_server_has_a_fixed_port_behind_any_service_port(tmp_path: Path) -> None:
    found = rendered(tmp_path, postgresql_port=25060)
    assert found["service"]["spec"]["ports"][0]["port"] == 25060
    ports = [{"port": 5432, "protocol": "TCP"}]
    assert found["server"]["spec"]["ingress"][0]["ports"] == ports
    for name in ("web", "job"):
        *_, rule = found[name]["spec"]["egress"]
        assert rule["ports"] == ports
        assert rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "postgresql"


def test_usual_resolvers_are_allowed_in_any_namespace(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    for name in ("web", "job", "client"):
        [rule] = [
            rule for rule in found[name]["spec"]["egress"] if rule["ports"] != [{"port": 5432, "protocol": "TCP"}]
        ][:1]
        assert sorted(rule["ports"], key=str) == sorted(DNS, key=str)
        # Any namespace, and NodeLocal DNSCache at 169.254.20.10, but not the metadata service of clouds.
        assert {"namespaceSelector": {}} in rule["to"]
        assert {"ipBlock": {"cidr": "169.254.0.0/16", "except": ["169.254.169.0/24"]}} in rule["to"]


def test_another_resolver_is_allowed_with_one_variable(tmp_path: Path) -> None:
    found = rendered(tmp_path, django_dns_egress=[RESOLVER])
    for name in ("web", "job", "client"):
        assert RESOLVER in found[name]["spec"]["egress"], name
        assert len(found[name]["spec"]["egress"]) == 2


def test_cache_accepts_only_pods_of_its_site(tmp_path: Path) -> None:
    found = rendered(tmp_path, cache_state="present", cache_port=6380)
    assert found["cache_service"]["spec"]["ports"][0]["port"] == 6380
    spec = found["cache"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    [rule] = spec["ingress"]
    assert rule["ports"] == [{"port": 6379, "protocol": "TCP"}]
    [peer] = rule["from"]
    labels = peer["podSelector"]["matchLabels"]
    assert labels == {"app.kubernetes.io/instance": "polls", "cloud-django/cache-client": "true"}
    assert found["pod"].items() >= labels.items()
    for name in ("web", "job"):
        *_, egress = found[name]["spec"]["egress"]
        assert len(found[name]["spec"]["egress"]) == 3, "DNS, database, and cache"
        assert egress["ports"] == rule["ports"]
        # The labels of the server's pods.
        assert egress["to"] == [{"podSelector": spec["podSelector"] | {}}]


def test_port_of_an_external_cache_is_allowed_for_site_jobs_and_check(tmp_path: Path) -> None:
    found = rendered(
        tmp_path, cache_state="present", cache_backend="external", cache_host="a.example.org", cache_port="6390"
    )
    for name in ("web", "job", "check"):
        assert {"ports": [{"port": 6390, "protocol": "TCP"}]} in found[name]["spec"]["egress"], name


def test_site_without_a_cache_has_no_trace_of_it(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert "cloud-django/cache-client" not in found["pod"]
    assert all(len(found[name]["spec"]["egress"]) == 2 for name in ("web", "job"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"postgresql_settings": {"work_mem": "5MB"}}, ""),
        ({"postgresql_settings": {"port": 6000}, "postgresql_backend": "external"}, ""),
        (
            {"postgresql_settings": {"ssl": False, "Port": 6000}},
            "postgresql_settings has port, ssl, which the Service, probes, and clients of the server depend on. "
            "Remove it.",
        ),
        (
            {"postgresql_settings": {"max_connections": 20}},
            "postgresql_settings has max_connections, which the Service, probes, and clients of the server depend on. "
            "Remove it. Set postgresql_max_connections instead.",
        ),
    ],
)
def test_settings_that_break_the_role_are_refused(tmp_path: Path, variables: dict[str, Any], sentence: str) -> None:
    assert rendered(tmp_path, **variables)["refusal"] == sentence
