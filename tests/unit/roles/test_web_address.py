"""URLs of the site for each type of its Service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rendering import rendered_cases

COMMAND = (
    "kubectl --kubeconfig '/home/a b/config' --context kind-polls --namespace polls port-forward service/polls-web "
    "8080:80"
)
KNOWN = {
    "app_name": "polls",
    "app_namespace": "polls",
    "cluster_context": "kind-polls",
    "cluster_kubeconfig": "/home/a b/config",
    "django_public_url": "",
    "django_environment": {},
    "web_node_address": "",
    "web_node_port": 30085,
}
NODES = {"__django_nodes": {"addresses": ["172.18.0.2"], "nodes": 1}}
CASES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    (
        {"web_service_type": "NodePort", **NODES},
        ("http://172.18.0.2:30085", "http://172.18.0.2:30085", "http://172.18.0.2:30085/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__django_balancer": {"address": "lb.example.org"}},
        ("http://lb.example.org", "http://lb.example.org", "http://lb.example.org/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__django_balancer": {"address": "2001:db8::1"}},
        ("http://[2001:db8::1]", "http://[2001:db8::1]", "http://[2001:db8::1]/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__django_balancer": {"address": ""}},
        ("http://polls-web.polls", "http://polls-web.polls", "http://polls-web.polls/admin/"),
    ),
    (
        {"web_service_type": "ClusterIP"},
        (
            "http://polls-web.polls",
            f"http://127.0.0.1:8080 while this command runs: {COMMAND}",
            "http://127.0.0.1:8080/admin/",
        ),
    ),
    (
        {"web_service_type": "ClusterIP", "django_public_url": "https://polls.example.org/"},
        ("https://polls.example.org", "https://polls.example.org", "https://polls.example.org/admin/"),
    ),
    (
        {"django_public_url": "https://a.example", "django_environment": {"DJANGO_ADMIN_PATH": "hidden/"}},
        ("https://a.example", "https://a.example", "https://a.example/hidden/"),
    ),
    (
        # A path that is secret is in no output.
        {"django_public_url": "https://a.example", "django_environment": {"DJANGO_ADMIN_PATH": {"value": "hidden"}}},
        ("https://a.example", "https://a.example", "https://a.example/(DJANGO_ADMIN_PATH)/"),
    ),
]
NAMES = {"url": "__web_url", "site": "__web_site", "admin": "__web_admin_url"}


def test_the_address_follows_from_the_type_of_the_service(tmp_path: Path) -> None:
    cases = {str(number): given for number, (given, _) in enumerate(CASES)}
    found = rendered_cases(
        tmp_path, NAMES, {"web": "check_replicas"}, {}, {name: KNOWN | each for name, each in cases.items()}
    )
    assert [tuple(case.values()) for case in found.values()] == [expected for _, expected in CASES]
