"""Hosts of the playbooks, failures before the first change, and the lists of roles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from forked_ansible import ansible_playbook

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = sorted(path.stem for path in (PROJECT / "playbooks").glob("*.yml"))
FIRST_PLAY = PROJECT / "playbooks" / "shared" / "inventory.yml"
GROUP = "cloud_django: {hosts: {controller: {ansible_connection: local}}}\n"
# Any connection to this server runs a program that creates a file.
SERVER = "web: {{hosts: {{a-web-server: {{ansible_host: 192.0.2.1, ansible_ssh_executable: {program}}}}}}}\n"

# `default(<literal>)` on another role's default, which would then exist twice. Each permanent one needs a reason.
PERMANENT: dict[tuple[str, str], str] = {}
LITERAL = re.compile(r"\b(\w+)\s*\|\s*default\(\s*(?:['\"\[{\d-]|(?:true|false|none)\b)", re.IGNORECASE)


def plays_of(playbook: str) -> list[dict[str, Any]]:
    return yaml.safe_load((PROJECT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))


def play(inventory: Path, playbook: Path, *arguments: str) -> tuple[int, str]:
    """Run a playbook; return its exit status and its output on one line."""
    ended = ansible_playbook(f"--inventory={inventory}", playbook, *arguments)
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory with a real server, which comes before the host of the plays."""
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/contacted\nexit 255\n", encoding="utf-8")
    program.chmod(0o755)
    folder = tmp_path / "inventory"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(SERVER.format(program=program) + GROUP, encoding="utf-8")
    return folder


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_plays_run_on_the_group_after_the_inventory_was_validated(playbook: str) -> None:
    first, *others = plays_of(playbook)
    assert first["ansible.builtin.import_playbook"] == "shared/inventory.yml"
    assert others
    assert {entry["hosts"] for entry in others} == {"cloud_django"}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_read_no_internal_variable(playbook: str) -> None:
    text = (PROJECT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    assert not re.findall(r"\b__\w+", text)


def site_roles() -> list[tuple[str, dict[str, Any]]]:
    """Return name and task of each role that site.yml imports."""
    tasks = [(task["ansible.builtin.import_role"]["name"], task) for task in plays_of("site")[1]["tasks"]]
    return [(name.rpartition(".")[2], task) for name, task in tasks]


def test_the_cluster_is_provided_once_for_all_hosts() -> None:
    once = {name for name, task in site_roles() if task.get("run_once")}
    assert once == {"container_engine", "mirror_builds", "cluster"}


def test_arguments_of_all_roles_are_validated_in_the_first_task() -> None:
    first = plays_of("site")[1]["pre_tasks"][0]
    assert "cloud_django.kubernetes.validate_arguments" in first
    assert first["tags"] == ["always"]
    assert first["vars"]["site_roles"] == [name for name, _ in site_roles()]
    assert all(task["ansible.builtin.import_role"]["rolespec_validate"] is False for _, task in site_roles())
    # The role lease has the tags of other roles, so it is validated with each of them.
    assert [name for name, task in site_roles() if task["tags"] != [name]] == ["lease"]


def test_scale_validates_all_of_its_roles_before_it_reaches_the_cluster() -> None:
    [content] = plays_of("scale")[1:]
    names = [next(iter(task)) if "name" not in task else [*task][1] for task in content["pre_tasks"]]
    validate = names.index("cloud_django.kubernetes.validate_arguments")
    imports = [task["ansible.builtin.import_role"] for task in content["tasks"]]
    assert content["pre_tasks"][validate]["tags"] == ["always"]
    assert content["pre_tasks"][validate][names[validate]]["roles"] == [
        role["name"].rpartition(".")[2] for role in imports
    ]
    assert all(role["rolespec_validate"] is False for role in imports)
    assert content["pre_tasks"][validate + 1]["ansible.builtin.import_role"]["tasks_from"] == "guard.yml"


@pytest.mark.parametrize("playbook", ["site", "scale"])
def test_invalid_variables_are_reported_together(playbook: str) -> None:
    variables = {
        "app_namespace": "my_polls",
        "app_public_url": "http://my_pc:30037",
        "web_surge": 0,
        "web_node_port": 8080,
        "database_schema": "public",
        "database_passwords": {"app": "hunter2\n"},
        "web_allowed_hosts": "polls.example.org",
        "web_replicas": 3,
    }
    code, output = play(
        PROJECT / "inventory" / "mirrors",
        PROJECT / "playbooks" / f"{playbook}.yml",
        f"--extra-vars={json.dumps(variables)}",
    )
    assert code != 0
    assert "changed=0 " in output
    assert "hunter2" not in output
    message = output.rpartition("Validation of arguments failed:")[2]
    for name in variables.keys() - {"web_replicas"}:
        assert f" {name}" in message, name


@pytest.mark.parametrize(
    ("tags", "skipped", "validated"),
    [
        (["all"], [], 13),
        (["web"], [], 2),
        (["web", "image"], ["image"], 2),
        (["all"], ["web"], 12),
        # A tag of a playbook that imports this one.
        (["mine"], [], 13),
        (["mine", "web"], [], 13),
    ],
)
def test_roles_that_run_are_validated(tags: list[str], skipped: list[str], validated: int) -> None:
    first = plays_of("site")[1]["pre_tasks"][0]
    variables = first["vars"] | {"ansible_run_tags": tags, "ansible_skip_tags": skipped}
    template = trust_as_template(first["cloud_django.kubernetes.validate_arguments"]["roles"])
    assert len(Templar(None, variables).template(template)) == validated


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ((), {"web", "image", "lease"}),
        (("--tags=tagged",), {"web", "image", "lease"}),
        (("--tags=web",), {"web", "lease"}),
        (("--skip-tags=web",), {"image", "lease"}),
    ],
)
def test_arguments_are_validated_of_the_roles_that_run(arguments: tuple[str, ...], reported: set[str]) -> None:
    code, output = play(
        PROJECT / "inventory" / "mirrors",
        PROJECT / "playbooks" / "site.yml",
        "--extra-vars=web_keep=all image_keep=all lease_wait=long",
        *arguments,
    )
    assert code != 0
    assert "changed=0 " in output
    found = output.partition("Validation of arguments failed:")[2]
    assert {role for role in ("web", "image", "lease") if f" {role}: {role}_" in found} == reported


def test_settings_that_a_role_refuses_fail_before_the_first_change() -> None:
    settings = "--extra-vars={postgresql_settings: {port: 6000}}"
    code, output = play(PROJECT / "inventory" / "mirrors", PROJECT / "playbooks" / "site.yml", settings)
    assert code != 0
    assert "postgresql_settings has port, which the Service, probes, and clients of the server depend on." in output
    assert "changed=0 " in output


def test_no_role_repeats_the_default_of_another() -> None:
    owners = {
        name: path.parents[1].name
        for path in (PROJECT / "roles").glob("*/defaults/*.yml")
        for name in yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    }
    found = set()
    for path in [*(PROJECT / "roles").rglob("*.yml"), *(PROJECT / "playbooks").rglob("*.yml")]:
        place = path.relative_to(PROJECT).parts[1]
        names = LITERAL.findall(path.read_text(encoding="utf-8"))
        found |= {(place, name) for name in names if owners.get(name, place) != place}
    assert not found - PERMANENT.keys()
    assert all(PERMANENT.values())


def test_no_server_of_the_inventory_is_contacted(inventory: Path, tmp_path: Path) -> None:
    code, output = play(inventory, FIRST_PLAY)
    assert code == 0, output
    assert "changed=0 " in output
    assert not (tmp_path / "contacted").exists()


@pytest.mark.parametrize("limit", ["cloud_django", "controller,a-web-server"])
def test_limit_that_leaves_a_host_of_the_group_is_accepted(inventory: Path, limit: str) -> None:
    code, output = play(inventory, FIRST_PLAY, "--limit", limit)
    assert code == 0, output


def test_limit_that_leaves_no_host_of_the_group_is_refused(inventory: Path, tmp_path: Path) -> None:
    code, output = play(inventory, PROJECT / "playbooks" / "teardown.yml", "--limit", "a-web-server")
    assert code != 0
    assert (
        "No host of the group cloud_django matches --limit a-web-server. No changes were made. "
        "Name one of controller, or leave out --limit, then rerun the playbook."
    ) in output
    assert not (tmp_path / "contacted").exists()


NAMED = """
- ansible.builtin.import_playbook: {first}
- hosts: cloud_django
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {{msg: "{{{{ app_name }}}} in {{{{ app_namespace }}}}, {{{{ hostvars.shop.app_name }}}}"}}
"""


def named(folder: Path, hosts: str, *arguments: str) -> tuple[int, str]:
    """Run a play that shows the names of sites, after the first play of each playbook."""
    (folder / "hosts.yml").write_text(f"cloud_django: {{hosts: {hosts}, vars: {{ansible_connection: local}}}}\n")
    playbook = folder / "named.yml"
    playbook.write_text(NAMED.format(first=FIRST_PLAY), encoding="utf-8")
    return play(folder, playbook, *arguments)


def test_each_of_several_sites_has_the_name_of_its_host(tmp_path: Path) -> None:
    hosts = "{shop: , blog: {app_name: news}, wiki: {app_name: docs, app_namespace: writers}}"
    code, output = named(tmp_path, hosts)
    assert code == 0, output
    for message in ("shop in shop, shop", "news in blog, shop", "docs in writers, shop"):
        assert f"msg: {message}" in output
    # Also with a limit that excludes the first host.
    code, output = named(tmp_path, hosts, "--limit=blog")
    assert code == 0, output
    assert "msg: news in blog, shop" in output
    assert "docs in writers" not in output


def test_a_single_site_is_not_named_after_its_host(tmp_path: Path) -> None:
    code, output = named(tmp_path, "{shop: }")
    assert code != 0
    assert "app_name" in output


@pytest.mark.parametrize("hosts", ["all: {hosts: {controller: {ansible_connection: local}}}\n", ""])
def test_inventory_without_a_host_in_the_group_is_refused(inventory: Path, hosts: str) -> None:
    (inventory / "hosts.yml").write_text(hosts, encoding="utf-8")
    code, output = play(inventory, PROJECT / "playbooks" / "site.yml", "--tags=web", "--check")
    assert code != 0
    assert "has no host in the group cloud_django, on which all plays run. No changes were made. " in output
    assert "In hosts.yml, put the host controller below the group cloud_django, then rerun the playbook." in output
    assert "changed=0 " in output


@pytest.mark.parametrize("name", ["group_vars/all.yml", "group_vars/all.json", "host_vars/controller.yml"])
def test_inventory_with_both_forms_of_variables_is_refused(inventory: Path, name: str) -> None:
    (inventory / name).with_suffix("").mkdir(parents=True, exist_ok=True)
    (inventory / name).write_text("{}\n", encoding="utf-8")
    code, output = play(inventory, PROJECT / "playbooks" / "pin.yml")
    assert code != 0
    assert f"Ansible ignores {inventory}/{name}, because a directory of the same name is beside it." in output
    assert "Move its variables into the directory, remove the file, then rerun the playbook." in output
    assert not (inventory / "group_vars" / "all" / "pin.yml").exists()


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("django_settings", "Rename it to django_environment, then rerun the playbook."),
        ("web_proxy_count", "Name the networks of the proxies in web_trusted_proxies instead"),
        ("web_live_path", "Remove the variable, because a project no longer needs this path"),
    ],
)
@pytest.mark.parametrize("is_extra", [False, True], ids=["inventory", "option"])
def test_a_variable_that_is_gone_is_refused_with_what_replaces_it(
    inventory: Path, name: str, instead: str, is_extra: bool
) -> None:
    if not is_extra:
        (inventory / "group_vars" / "all" / "main.yml").write_text(f"{name}: 1\n", encoding="utf-8")
    code, output = play(inventory, FIRST_PLAY, *([f"--extra-vars={name}=1"] if is_extra else []))
    assert code != 0
    assert f"The variable {name} no longer exists. No changes were made. {instead}" in output


def test_file_of_variables_beside_another_directory_is_accepted(inventory: Path) -> None:
    (inventory / "group_vars" / "web.yml").write_text("{}\n", encoding="utf-8")
    code, output = play(inventory, FIRST_PLAY)
    assert code == 0, output


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("teardown_data=everything teardown_cluster=no", "teardown_data is everything and teardown_cluster is no"),
        ("teardown_data=purge teardown_cluster=perhaps", "teardown_data is purge and teardown_cluster is perhaps"),
        ("teardown_data=keep teardown_cluster=yes", "The data is in the cluster and cannot be kept without it"),
        (
            "teardown_data=keep teardown_cluster=no postgresql_data=purge",
            "the inventory sets database_data, postgresql_data to another value",
        ),
    ],
)
def test_contradictory_removal_is_refused(request_: str, words: str) -> None:
    code, output = play(
        PROJECT / "inventory" / "mirrors", PROJECT / "playbooks" / "teardown.yml", f"--extra-vars={request_}"
    )
    assert code != 0
    assert words in output
    assert ". No objects were removed. " in output
    assert "changed=0 " in output


SHARED_CLUSTER = (
    "{a: , b: , c: }, vars: {ansible_connection: local, cluster_provider: kind, app_name: '{{ inventory_hostname }}'}"
)


def test_removal_of_some_sites_keeps_their_cluster(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(f"cloud_django: {{hosts: {SHARED_CLUSTER}}}\n", encoding="utf-8")
    request = "--extra-vars=teardown_data=purge teardown_cluster=true app_namespace=x cluster_name=two"
    code, output = play(tmp_path, PROJECT / "playbooks" / "teardown.yml", request, "--limit=a,b")
    assert code != 0
    assert (
        "Cluster two is also that of c, which --limit excludes. No objects were removed. Set teardown_cluster to false "
        "to keep the cluster, or leave out --limit, then rerun the playbook."
    ) in output
    assert "changed=0 " in output


@pytest.mark.parametrize("number", ["", "1.5"])
def test_scale_refuses_an_invalid_number_of_pods(number: str) -> None:
    code, output = play(
        PROJECT / "inventory" / "mirrors", PROJECT / "playbooks" / "scale.yml", f"--extra-vars=web_replicas={number}"
    )
    assert code != 0
    assert f"web_replicas is {number or 'empty'}, which is not a valid number of pods. No changes were made. " in output
    assert "changed=0 " in output
