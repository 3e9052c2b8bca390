"""Inventory of the five public projects: each site passes all rules, and is described in few lines."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
INVENTORY = PROJECT / "inventory" / "projects"
TESTS = PROJECT / "tests" / "projects"
HOSTS = ("plain", "bakery", "pretalx", "nautobot", "netbox")
MOST_LINES = 40


def module(name: str) -> ModuleType:
    """Return a module of the project tests without their directory on the path."""
    specification = importlib.util.spec_from_file_location(f"projects_{name}", TESTS / f"{name}.py")
    found = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = found
    specification.loader.exec_module(found)
    return found


def run(program: str, contexts: Path, *arguments: str) -> str:
    """Run a program of Ansible with the inventory; return its output."""
    ended = subprocess.run(
        [Path(sys.executable).with_name(program), f"--inventory={INVENTORY}", *arguments],
        cwd=PROJECT,
        env=os.environ | {"PROJECTS": str(contexts), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a small build context for each project."""
    folder = tmp_path_factory.mktemp("contexts")
    for name in HOSTS:
        (folder / name).mkdir()
        (folder / name / "constraints.txt").touch()
    (folder / "bakery" / "requirements.txt").write_text("wagtail\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def hostvars(contexts: Path) -> dict[str, dict[str, Any]]:
    """Return the variables of each site, before templates are evaluated."""
    return json.loads(run("ansible-inventory", contexts, "--list"))["_meta"]["hostvars"]


def test_variables_of_the_cluster_are_a_link() -> None:
    link = INVENTORY / "group_vars" / "all" / "cluster.yml"
    assert link.is_symlink()
    assert link.resolve() == PROJECT / "inventory" / "mirrors" / "group_vars" / "all" / "main.yml"
    # Ansible reads the files in this order, so that the second one replaces variables of the first.
    assert sorted(path.name for path in link.parent.iterdir() if path.name != "pin.yml") == ["cluster.yml", "main.yml"]


def test_hosts_are_the_projects_of_the_tests(hostvars: dict[str, dict[str, Any]]) -> None:
    assert set(hostvars) == set(HOSTS)
    assert module("contexts").NAMES == HOSTS
    assert {path.stem for path in (INVENTORY / "host_vars").iterdir()} == set(HOSTS)
    assert {path.stem for path in (TESTS / "constraints").glob("*.txt")} == set(HOSTS)
    assert hostvars["bakery"]["cluster_provider"] == "kind"
    assert hostvars["bakery"]["app_name"] == "{{ inventory_hostname }}"


@pytest.mark.parametrize("name", HOSTS)
def test_a_project_needs_few_lines(name: str) -> None:
    text = (INVENTORY / "host_vars" / f"{name}.yml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", HOSTS)
def test_each_site_passes_all_rules(name: str, contexts: Path) -> None:
    """With a tag of no task, only the validation runs, for all roles."""
    output = run("ansible-playbook", contexts, "playbooks/site.yml", f"--limit={name}", "--tags=validation")
    assert "TASK [Validate the arguments of the roles]" in output
    assert f"ok: [{name}]" in output


def test_each_variable_is_known_to_a_role(hostvars: dict[str, dict[str, Any]]) -> None:
    known = {"ansible_connection", "ansible_python_interpreter", "app_image", "app_image_repository", "app_name"}
    known |= {"app_namespace", "app_public_url"}
    for path in (PROJECT / "roles").glob("*/meta/argument_specs.yml"):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        known |= set(options)
    assert {name for variables in hostvars.values() for name in variables} <= known


@pytest.mark.parametrize("name", HOSTS)
def test_each_requirement_has_one_version(name: str) -> None:
    folder = TESTS / "constraints"
    lines = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].partition("[")[0].lower() for line in lines if "==" in line}
    assert len(pinned) >= len([line for line in lines if line and not line.startswith("#")]) - 2
    variables = yaml.safe_load((INVENTORY / "host_vars" / f"{name}.yml").read_text(encoding="utf-8"))
    required = [line for line in variables["image_python"]["requirements"] if not line.startswith("-r")]
    assert {line.partition("[")[0].lower() for line in required} <= pinned
    # The same packages are the input of `make lock`.
    locked = (folder / f"{name}.in").read_text(encoding="utf-8").splitlines()
    assert set(required) <= set(locked)


# ---- Helpers of the tests on a cluster -------------------------------------------------------------------------------


def test_random_key_of_a_new_project_is_replaced(tmp_path: Path) -> None:
    settings = tmp_path / "settings.py"
    settings.write_text("DEBUG = True\nSECRET_KEY = 'abc'\n", encoding="utf-8")
    contexts = module("contexts")
    contexts.without_random_key(settings)
    assert settings.read_text(encoding="utf-8") == 'DEBUG = True\nSECRET_KEY = "replaced by the inventory"\n'
    settings.write_text("DEBUG = True\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="has 0 lines with a SECRET_KEY"):
        contexts.without_random_key(settings)


PAGE = b"""
<link href="/static/css/site.css?v=1"><form action="/search/"><input name="q"></form>
<form method="post"><input type="hidden" name="token" value="a&amp;b">
<input name="name"><input type="password" name="word"><input type="checkbox" name="keep">
<select name="one"><option value="1">1</option><option value="2" selected>2</option></select>
<textarea name="text">
more</textarea><input type="file" name="file"><input type="submit" name="send"></form>
"""


def test_forms_are_read_as_by_a_browser() -> None:
    browser = module("browser")
    page = browser.Page("/login/?next=/", 200, None, PAGE)
    form = page.form("password")
    assert form.action == ""
    assert form.values == {"token": "a&b", "name": "", "word": "", "one": "2", "text": "more"}
    assert (form.first("text", "email"), form.first("password"), form.first("file")) == ("name", "word", "file")
    assert page.static_file() == "/static/css/site.css"
    with pytest.raises(AssertionError, match="has no form with a field of type email"):
        page.form("email")


def test_files_are_sent_as_parts() -> None:
    kind, body = module("browser").multipart({"name": "x", "file": ""}, {"file": ("a.png", b"\x89PNG")})
    boundary = kind.partition("boundary=")[2].encode()
    assert body.count(b"--" + boundary) == 3
    assert b'name="name"\r\n\r\nx\r\n' in body
    assert b'name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in body
