"""Names and paths of a cluster that follow from the inventory's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

DEFAULTS = Path(__file__).parents[3] / "roles" / "cluster" / "defaults" / "main.yml"


@pytest.fixture(scope="module", autouse=True)
def lookups() -> None:
    """Let Ansible find its own plugins."""
    init_plugin_loader([])


def defaults(**given: Any) -> dict[str, str]:
    """Return name, state directory, kubeconfig and context of a cluster."""
    known = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    variables = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in known.items()}
    templar = Templar(loader=DataLoader(), variables=variables | given)
    names = ("name", "state_directory", "kubeconfig", "context")
    return {name: templar.template(trust_as_template(f"{{{{ cluster_{name} }}}}")) for name in names}


def test_a_cluster_is_named_after_the_directory_of_the_inventory() -> None:
    assert defaults(inventory_dir="/src/site/inventory/My Staging_é") == {
        "name": "cloud-django-my-staging",
        "state_directory": "/src/site/.state",
        "kubeconfig": "/src/site/.state/cloud-django-my-staging/kubeconfig",
        "context": "kind-cloud-django-my-staging",
    }


def test_the_context_of_a_profile_is_its_name() -> None:
    found = defaults(inventory_dir="/src/site/inventory/minikube", cluster_provider="minikube")
    assert found["context"] == found["name"] == "cloud-django-minikube"


@pytest.mark.parametrize(("given", "name"), [({}, "cloud-django"), ({"inventory_dir": None}, "cloud-django")])
def test_without_an_inventory_directory_the_state_is_the_users(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], name: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    found = defaults(**given)
    assert (found["name"], found["state_directory"]) == (name, "/home/me/state/cloud-django")


def test_an_inventory_outside_of_a_checkout_keeps_its_state_with_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    found = defaults(inventory_dir="/etc/ansible")
    assert (found["name"], found["state_directory"]) == ("cloud-django-ansible", "/home/me/state/cloud-django")
