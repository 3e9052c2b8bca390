"""URLs of the site for each type of its Service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
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
    "django_settings": {},
    "web_node_address": "",
    "web_node_port": 30085,
}
NODES = {"__web_nodes": {"addresses": ["172.18.0.2"], "nodes": 1}}
CASES: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    (
        {"web_service_type": "NodePort", **NODES},
        ("http://172.18.0.2:30085", "http://172.18.0.2:30085", "http://172.18.0.2:30085/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__web_balancer": {"address": "lb.example.org"}},
        ("http://lb.example.org", "http://lb.example.org", "http://lb.example.org/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__web_balancer": {"address": "2001:db8::1"}},
        ("http://[2001:db8::1]", "http://[2001:db8::1]", "http://[2001:db8::1]/admin/"),
    ),
    (
        {"web_service_type": "LoadBalancer", "__web_balancer": {"address": ""}},
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
]
# In a process of its own, because Ansible sets up its plugins and the import of collections once per process.
TEMPLATE = """\
import json, sys, yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
init_plugin_loader([])
known = yaml.safe_load(open("roles/web/vars/main/address.yml"))
known = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in known.items()}
wanted = trust_as_template("{{ [__web_url, __web_site, __web_admin_url] }}")
cases = json.load(sys.stdin)
print(json.dumps([Templar(loader=DataLoader(), variables=known | given).template(wanted) for given in cases]))
"""


def test_url_follows_from_the_type_of_the_service() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TEMPLATE],
        input=json.dumps([KNOWN | given for given, _ in CASES]),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert [tuple(found) for found in json.loads(ended.stdout)] == [expected for _, expected in CASES]
