"""Variables of the inventories: only variables that roles know, and only values that differ from the defaults."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
# test_projects.py tests the inventory with several sites.
INVENTORIES = sorted(
    path.name for path in (PROJECT / "inventory").iterdir() if path.is_dir() and path.name != "projects"
)
MOST_LINES = 40
# Variables of the inventory as a whole, which the roles' defaults use.
SHARED = {
    "app_data",
    "app_image",
    "app_image_repository",
    "app_name",
    "app_namespace",
    "app_public_url",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "registry_mirror",
    "site_ca_file",
}
# Variables that must differ between two inventories.
OWN = {
    "app_image_repository",
    "cluster_account_kubeconfig",
    "cluster_kubeconfig",
    "cluster_name",
}
# Defaults of roles that no inventory repeats, and their values.
COMMON = {
    "image_build_secrets": {"ca_certificates": "/etc/ssl/certs/ca-certificates.crt", "pip_conf": "/etc/pip.conf"},
    "web_replicas": 3,
    "web_threads": 8,
    "web_workers": 1,
}
# Defaults of roles that follow from an inventory, for a directory `inventory` in /site.
FOLLOWING = {
    "example_cloud": {
        "cluster_context": "polls-polls-deployer",
        "cluster_kubeconfig": "/site/.state/cloud-django-example-cloud/polls-polls-deployer",
        "image_provider": "registry",
    },
    "kind": {
        "cluster_context": "kind-cloud-django-kind",
        "cluster_kubeconfig": "/site/.state/cloud-django-kind/kubeconfig",
        "container_engine_buildx_source": "download",
        "image_provider": "kind",
        "cache_image": "docker.io/valkey/valkey:8.1",
        "postgresql_image": "docker.io/library/postgres:17",
        "web_front_image": "docker.io/library/caddy:2.11.9",
    },
    "minikube": {
        "cluster_context": "cloud-django-minikube",
        "cluster_kubeconfig": "/site/.state/cloud-django-minikube/kubeconfig",
        "container_engine_buildx_source": "download",
        "image_provider": "minikube",
        "cache_image": "docker.io/valkey/valkey:8.1",
        "postgresql_image": "docker.io/library/postgres:17",
        "web_front_image": "docker.io/library/caddy:2.11.9",
    },
    "mirrors": {
        "cluster_context": "kind-cloud-django-mirrors",
        "cluster_kubeconfig": "/site/.state/cloud-django-mirrors/kubeconfig",
        "container_engine_buildx_source": "build",
        "image_provider": "kind",
        "cache_image": "localhost/cloud-django/valkey:8.1",
        "postgresql_image": "localhost/cloud-django/postgresql:17",
        "web_front_image": "localhost/cloud-django/caddy:2.11.9",
    },
}
NAMES = sorted(
    {"__image_context_hash", "app_image", "cluster_server", "cluster_uid"}
    | (OWN | COMMON.keys()).union(*FOLLOWING.values())
)


def known() -> set[str]:
    found = set(SHARED)
    for path in (PROJECT / "roles").glob("*/meta/argument_specs.yml"):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"].get("options", {}).keys()
    return found


def main_file(inventory: Path) -> Path:
    return inventory / "group_vars" / "all" / "main.yml"


def variables_of(inventory: Path) -> dict[str, Any]:
    return yaml.safe_load(main_file(inventory).read_text(encoding="utf-8"))


def run_play(inventory: Path, folder: Path, tasks: list[dict[str, Any]], **variables: Any) -> str:
    """Run tasks in a play that has the defaults of all roles; return its output."""
    roles = sorted(path.name for path in (PROJECT / "roles").iterdir())
    play = {
        "hosts": "cloud_django",
        "gather_facts": False,
        "roles": [{"role": f"cloud_django.kubernetes.{role}", "tags": ["never"]} for role in roles],
        "tasks": tasks,
    }
    path = folder / "play.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    ended = subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible-playbook"), f"--inventory={inventory}", str(path)),
            f"--extra-vars={json.dumps(variables)}",
        ],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def templated(inventory: Path, folder: Path, names: list[str]) -> dict[str, Any]:
    """Return variables as a play of this inventory sees them."""
    message = {name: f"{{{{ {name} }}}}" for name in names}
    output = run_play(inventory, folder, [{"name": "Print", "ansible.builtin.debug": {"msg": message}}])
    return json.JSONDecoder().raw_decode(output, output.index("{"))[0]["msg"]


def copied(name: str, copy: Path) -> Path:
    shutil.copytree(PROJECT / "inventory" / name, copy)
    # The parent directory contains the user's project.
    (copy.parents[1] / "Dockerfile").touch()
    (copy.parents[1] / ".dockerignore").touch()
    return copy


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that returns the variables of an inventory in the checkout."""

    @cache
    def of(name: str) -> dict[str, Any]:
        return templated(PROJECT / "inventory" / name, tmp_path_factory.mktemp(name), NAMES)

    return of


@pytest.mark.parametrize("name", INVENTORIES)
def test_each_variable_is_known_to_a_role(name: str) -> None:
    assert variables_of(PROJECT / "inventory" / name).keys() <= known()


@pytest.mark.parametrize("name", INVENTORIES)
def test_inventory_is_hosts_and_one_short_file_of_variables(name: str) -> None:
    inventory = PROJECT / "inventory" / name
    files = {path for path in inventory.rglob("*") if path.is_file() and path.name != "pin.yml"}
    assert files == {inventory / "hosts.yml", main_file(inventory)}
    assert len(main_file(inventory).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", [*INVENTORIES, "../molecule/inventory"])
def test_all_plays_find_their_host_in_the_group(name: str) -> None:
    hosts = yaml.safe_load((PROJECT / "inventory" / name / "hosts.yml").read_text(encoding="utf-8"))
    assert list(hosts["cloud_django"]["hosts"]) == ["controller"]


def test_no_two_inventories_share_a_cluster_or_an_image(values: Any) -> None:
    for variable in OWN:
        assert len({values(name)[variable] for name in INVENTORIES}) == len(INVENTORIES), variable


@pytest.mark.parametrize("name", INVENTORIES)
def test_common_values_are_defaults_of_roles(name: str, values: Any) -> None:
    assert values(name).items() >= COMMON.items()
    assert not variables_of(PROJECT / "inventory" / name).keys() & COMMON.keys()


@pytest.mark.parametrize("name", INVENTORIES)
def test_names_and_paths_follow_from_the_directory(name: str, values: Any) -> None:
    expected = json.loads(json.dumps(FOLLOWING[name]).replace("/site/", f"{PROJECT}/"))
    assert values(name).items() >= expected.items()


@pytest.mark.parametrize("name", INVENTORIES)
def test_caddy_has_one_version_that_is_not_below_the_first_safe_one(name: str, values: Any) -> None:
    module = (PROJECT / "roles" / "mirror_builds" / "files" / "go" / "caddy" / "go.mod").read_text(encoding="utf-8")
    [compiled] = re.findall(r"github\.com/caddyserver/caddy/v2 v([0-9.]+) ", module)
    assert values(name)["web_front_image"].endswith(f"/caddy:{compiled}")
    # 2.10 has published vulnerabilities, and 2.11.1 is the first release without them.
    assert tuple(map(int, compiled.split("."))) >= (2, 11, 1)


@pytest.mark.parametrize("name", INVENTORIES)
def test_tag_of_the_image_is_the_hash_that_the_role_compares(name: str, values: Any) -> None:
    found = values(name)
    assert found["app_image"] == f"{found['app_image_repository']}:{found['__image_context_hash'][:12]}"
    assert len(found["__image_context_hash"]) == 64


def test_two_copies_of_the_example_share_nothing(tmp_path: Path) -> None:
    staging, production = (
        templated(copied("example_cloud", tmp_path / "inventory" / name), tmp_path, sorted(OWN))
        for name in ("staging", "production")
    )
    assert not set(staging.values()) & set(production.values())


def test_a_copy_under_any_name_has_a_cluster_with_a_fitting_one(tmp_path: Path) -> None:
    copy = copied("kind", tmp_path / "inventory" / "My Staging_é")
    assert templated(copy, tmp_path, ["cluster_name"]) == {"cluster_name": "cloud-django-my-staging"}


def test_copies_of_one_name_outside_of_a_checkout_share_nothing(tmp_path: Path) -> None:
    one, other = (
        templated(copied("example_cloud", tmp_path / company / "production"), tmp_path, sorted(OWN))
        for company in ("acme", "globex")
    )
    assert not set(one.values()) & set(other.values())


def test_pin_leaves_every_variable_in_effect(tmp_path: Path) -> None:
    inventory = copied("mirrors", tmp_path / "inventory" / "mirrors")
    names = sorted({*NAMES, *variables_of(inventory)} - {"__image_context_hash", "app_image"})
    before = templated(inventory, tmp_path, names)
    tasks = yaml.safe_load((PROJECT / "roles" / "cluster" / "tasks" / "pin.yml").read_text(encoding="utf-8"))
    pinned = {"cluster_server": "https://10.0.0.1:6443", "cluster_uid": "1234"}
    run_play(inventory, tmp_path, tasks[-1:], __cluster_pin_found={"server": "https://10.0.0.1:6443", "uid": "1234"})
    after = templated(inventory, tmp_path, names)
    assert (inventory / "group_vars" / "all" / "pin.yml").is_file()
    assert after == before | {"cluster_server": pinned["cluster_server"], "cluster_uid": after["cluster_uid"]}
    assert str(after["cluster_uid"]) == pinned["cluster_uid"]
