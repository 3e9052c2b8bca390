"""Ports and addresses in the NetworkPolicies that the roles render."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
SITE = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "", "django_image": "none"}
DNS = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
RESOLVER = {"to": [{"ipBlock": {"cidr": "10.0.0.2/32"}}], "ports": [{"port": 1053, "protocol": "UDP"}]}


def rendered(folder: Path, **variables: Any) -> dict[str, Any]:
    """Return the policies of web pods, Jobs, and the client pod, and the refusals of the role postgresql."""
    names = {"web": "__web_network_policy", "job": "__django_job_network_policy", "client": "__database_network_policy"}
    names |= {"server": "__postgresql_network_policy", "service": "__postgresql_service"}
    names |= {"refusal": "__postgresql_refusals | join"}
    content = "{{ {" + ", ".join(f"'{key}': {name}" for key, name in names.items()) + "} | to_json }}"
    entry_points = {"postgresql": "main", "database": "main", "web": "check_replicas"}
    tasks: list[dict[str, Any]] = [
        {"import_role": {"name": f"cloud_django.kubernetes.{role}", "tasks_from": file}, "when": False}
        for role, file in entry_points.items()
    ]
    tasks.append({"ansible.builtin.copy": {"dest": str(folder / "out"), "content": content, "mode": "0600"}})
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    play["vars"] = {"__django_component": "migrations"}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    given = json.dumps(SITE | {"ansible_python_interpreter": sys.executable} | variables)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,", "play.yml"]
    done = subprocess.run(
        [*command, f"--extra-vars={given}"],
        cwd=folder,
        env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "out").read_text())


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
