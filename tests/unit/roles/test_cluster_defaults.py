"""Default names and paths of a cluster, which depend on the directory of the inventory."""

from __future__ import annotations

from typing import Any

from rendering import rendered

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
NAMES = ["cluster_name", "cluster_state_directory", "cluster_context", "cluster_kubeconfig"]


def test_name_and_paths_follow_from_the_directory_of_the_inventory() -> None:
    found = rendered("roles/cluster/defaults/main.yml", NAMES, CASES, XDG_STATE_HOME=STATE)
    assert [tuple(case[:3]) for case in found] == EXPECTED
    assert [case[3] for case in found] == [f"{state}/{name}/kubeconfig" for name, state, _ in EXPECTED]
