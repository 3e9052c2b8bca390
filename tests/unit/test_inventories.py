"""What the inventories set: variables that a role knows, and nothing by another name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
INVENTORIES = sorted(path.name for path in (PROJECT / "inventory").iterdir() if path.is_dir())
# Of the inventory as a whole, for the roles' defaults to refer to.
SHARED = {
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


def known() -> set[str]:
    found = set(SHARED)
    for path in (PROJECT / "roles").glob("*/meta/argument_specs.yml"):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"].get("options", {}).keys()
    return found


def templated(inventory: Path, *names: str) -> dict[str, Any]:
    """Return variables as a play of this inventory sees them."""
    message = json.dumps({name: f"{{{{ {name} }}}}" for name in names})
    ended = subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible"), "all", f"--inventory={inventory}", "--one-line"),
            *("--module-name=ansible.builtin.debug", f"--args={json.dumps({'msg': json.loads(message)})}"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ended.stdout.partition("=>")[2])["msg"]


@pytest.mark.parametrize("name", INVENTORIES)
def test_every_variable_is_one_that_a_role_knows(name: str) -> None:
    files = (PROJECT / "inventory" / name / "group_vars").rglob("*.yml")
    used = {variable for path in files for variable in yaml.safe_load(path.read_text(encoding="utf-8"))}
    assert used <= known()


@pytest.mark.parametrize("name", INVENTORIES)
def test_every_file_is_named_after_what_it_is_about(name: str) -> None:
    roles = {path.name for path in (PROJECT / "roles").iterdir()}
    files = {path.stem for path in (PROJECT / "inventory" / name / "group_vars" / "all").glob("*.yml")}
    assert files <= roles | {"app", "network"}


def test_no_two_inventories_share_a_cluster_or_an_image() -> None:
    shared = ("cluster_kubeconfig", "cluster_name", "app_image_repository")
    found = [templated(PROJECT / "inventory" / name, *shared) for name in INVENTORIES]
    for variable in shared:
        assert len({values[variable] for values in found}) == len(INVENTORIES), variable


def test_a_copy_under_any_name_has_a_cluster_with_a_fitting_one(tmp_path: Path) -> None:
    copy = tmp_path / "My Staging_é"
    copy.mkdir()
    for path in (PROJECT / "inventory" / "kind").iterdir():
        (copy / path.name).symlink_to(path)
    assert templated(copy, "cluster_name") == {"cluster_name": "cloud-django-my-staging"}
