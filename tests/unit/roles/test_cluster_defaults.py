"""Default names and paths of a cluster, which depend on the directory of the inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[3]
STATE = "/home/me/state"
CASES: list[dict[str, Any]] = [
    {"inventory_dir": "/src/site/inventory/My Staging_é"},
    {"inventory_dir": "/src/site/inventory/minikube", "cluster_provider": "minikube"},
    {"inventory_dir": "/etc/ansible"},
    {"inventory_dir": None},
    {},
]
EXPECTED = [
    ("cloud-django-my-staging", "/src/site/.state", "kind-cloud-django-my-staging"),
    ("cloud-django-minikube", "/src/site/.state", "cloud-django-minikube"),
    ("cloud-django-ansible-57d750cb", f"{STATE}/cloud-django", "kind-cloud-django-ansible-57d750cb"),
    ("cloud-django", f"{STATE}/cloud-django", "kind-cloud-django"),
    ("cloud-django", f"{STATE}/cloud-django", "kind-cloud-django"),
]
# In a separate process, because loading Ansible's plugins changes how Python imports collections.
TEMPLATE = """\
import json, sys, yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
init_plugin_loader([])
known = yaml.safe_load(open("roles/cluster/defaults/main.yml"))
known = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in known.items()}
wanted = trust_as_template("{{ [cluster_name, cluster_state_directory, cluster_context, cluster_kubeconfig] }}")
cases = json.load(sys.stdin)
print(json.dumps([Templar(loader=DataLoader(), variables=known | given).template(wanted) for given in cases]))
"""


def test_name_and_paths_follow_from_the_directory_of_the_inventory() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TEMPLATE],
        input=json.dumps(CASES),
        cwd=PROJECT,
        env=os.environ | {"XDG_STATE_HOME": STATE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [tuple(case[:3]) for case in found] == EXPECTED
    assert [case[3] for case in found] == [f"{state}/{name}/kubeconfig" for name, state, _ in EXPECTED]
