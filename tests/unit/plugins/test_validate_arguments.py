"""One task validates the arguments of several roles, and reports all errors without secret values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.validation import Validation
from forked_ansible import ansible_playbook

PROJECT = Path(__file__).parents[3]
DEFAULTS = {"app_name": "polls", "app_namespace": "polls", "app_public_url": ""}
LOCALHOST = "all: {hosts: {localhost: {ansible_connection: local}}}"


def play(folder: Path, content: list[dict[str, Any]], inventory: str, *arguments: str) -> tuple[int, str]:
    """Run a play that reaches no cluster; return its exit status and its output on one line."""
    (folder / "play.yml").write_text(json.dumps(content), encoding="utf-8")
    (folder / "hosts.yml").write_text(inventory, encoding="utf-8")
    ended = ansible_playbook(f"--inventory={folder}/hosts.yml", folder / "play.yml", *arguments)
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


def run(folder: Path, roles: list[str], variables: dict[str, Any]) -> tuple[int, str]:
    """Run the task with the defaults of the roles; return the exit status of the play and its output on one line."""
    files = [str(PROJECT / "roles" / role / "defaults" / "main.yml") for role in roles]
    task = {"cloud_django.kubernetes.validate_arguments": {"roles": roles}}
    content = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}
    (folder / "variables.yml").write_text(yaml.safe_dump(DEFAULTS | variables), encoding="utf-8")
    return play(folder, [content], LOCALHOST, f"--extra-vars=@{folder}/variables.yml")


def test_valid_arguments_are_accepted(tmp_path: Path) -> None:
    code, output = run(tmp_path, ["namespace", "lease"], {})
    assert code == 0, output


def test_errors_of_all_roles_are_reported_with_role_and_option(tmp_path: Path) -> None:
    variables = {"namespace_state": "away", "lease_wait": "{{ no_such_variable }}"}
    code, output = run(tmp_path, ["namespace", "lease"], variables)
    assert code != 0
    assert "Validation of arguments failed: namespace: value of namespace_state must be one of: " in output
    assert "lease: lease_wait: 'no_such_variable' is undefined" in output


def test_errors_of_all_roles_are_reported_together(tmp_path: Path) -> None:
    variables = {
        "app_name": "my_polls",
        "namespace_state": "away",
        "namespace_limits": "a",
        "__namespace_refusals": ["{{ 'The two do not fit.' }}", ""],
        "__lease_refusals": "{{ ['Nor do these.'] }}",
    }
    code, output = run(tmp_path, ["namespace", "lease"], variables)
    assert code != 0
    expected = ["namespace_limits is a, a string, not a list.", "namespace_state must be one of: "]
    expected += [
        "app_name is my_polls, which",
        "The two do not fit. Nor do these. No changes were made to the site. Correct",
    ]
    for sentence in expected:
        assert sentence in output
    assert "changed=0 " in output


def test_the_refusals_of_each_role_have_the_expected_name() -> None:
    files = sorted(PROJECT.glob("roles/*/vars/main/refusals.yml"))
    assert len(files) > 1
    for path in files:
        role = path.parents[2].name
        assert f"__{role}_refusals" in yaml.safe_load(path.read_text(encoding="utf-8")), role


def test_empty_refusals_are_ignored(tmp_path: Path) -> None:
    code, output = run(tmp_path, ["namespace"], {"__namespace_refusals": ["", "{{ '' }}"]})
    assert code == 0, output


def test_a_refusal_that_fails_beside_other_errors_is_ignored(tmp_path: Path) -> None:
    """Its templates may need one of the invalid values."""
    broken = {"__namespace_refusals": ["{{ namespace_limits.none.at_all }}"]}
    code, output = run(tmp_path, ["namespace"], broken | {"namespace_limits": "a"})
    assert code != 0
    assert "namespace_limits is a, a string" in output
    assert "at_all" not in output
    code, output = run(tmp_path, ["namespace"], broken)
    assert code != 0
    assert "at_all" in output


def test_roles_that_others_depend_on_are_validated_once(tmp_path: Path) -> None:
    code, output = run(tmp_path, ["migrations", "superuser", "web"], {"django_environment": {"DEBUG": True}})
    assert code != 0
    assert "DEBUG in django_environment is not a string" in output
    assert Validation(None, {}).with_dependencies(["migrations", "web"]) == ["django", "migrations", "web"]


def test_a_removal_is_valid_with_any_value(tmp_path: Path) -> None:
    variables = {"web_surge": 0, "web_state": "absent", "app_image": "none", "__web_refusals": ["It does not fit."]}
    code, output = run(tmp_path, ["web"], variables)
    assert code == 0, output
    assert run(tmp_path, ["web"], variables | {"web_state": "present"})[0] != 0


def test_all_defaults_have_the_types_of_their_options(tmp_path: Path) -> None:
    roles = sorted(path.parents[1].name for path in (PROJECT / "roles").glob("*/defaults/main.yml"))
    given = {"app_image": "none", "image_context": str(tmp_path), "cluster_provider": "existing"}
    code, output = run(tmp_path, [role for role in roles if role != "teardown"], given)
    assert code == 0, output


def errors_of(spec: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    return Validation(Templar(None, variables), variables).check(spec)[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ({"type": "int"}, "hunter2"),
        ({"type": "list", "elements": "int"}, ["hunter2"]),
        ({"type": "str"}, 12345),
        ({"type": "list", "elements": "str"}, [12345]),
    ],
)
@pytest.mark.parametrize("no_log", [True, False])
def test_no_secret_is_shown(option: dict[str, Any], value: Any, no_log: bool) -> None:
    [error] = errors_of({"pin": option | {"no_log": no_log}}, {"pin": value})
    assert "pin" in error
    assert ("hunter2" in error or "12345" in error) is not no_log


@pytest.mark.parametrize("value", [12345, ["hunter2"], {"app": "hunter2"}])
def test_no_secret_inside_of_another_is_shown(value: Any) -> None:
    spec = {"pins": {"type": "dict", "no_log": True, "options": {"app": {"type": "str", "choices": ["a"]}}}}
    [error] = errors_of(spec, {"pins": value})
    assert "hunter2" not in error
    assert "12345" not in error


# --- A role alone, a play of several hosts, and scale -----------------------------------------------------------------


HOST = "all: {hosts: {a: {ansible_connection: local}}}"
CLUSTER = {"kubeconfig": "/nonexistent", "context": "none"}


def alone(role: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    defaults = {"group/cloud_django.kubernetes.k8s": CLUSTER}
    given = DEFAULTS | {"ansible_python_interpreter": sys.executable, "app_image": "none"} | variables
    roles = [{"role": f"cloud_django.kubernetes.{role}"}]
    return [{"hosts": "all", "gather_facts": False, "module_defaults": defaults, "vars": given, "roles": roles}]


@pytest.mark.parametrize(
    ("role", "variables", "words"),
    [
        ("postgresql", {"postgresql_admin_password": "hunter2\n"}, "postgresql_admin_password has a line break"),
        ("database", {"database_schema": "public"}, "database_schema is public, which is reserved"),
        ("migrations", {"migrations_commands": ["check"]}, "migrations_commands[0] is check, a string, not a list"),
        ("web", {"web_allowed_hosts": "polls.example.org"}, "web_allowed_hosts is polls.example.org, a string, not"),
        ("web", {"web_surge": 0, "web_grace_period": 1}, "web_grace_period is 1 s, but web_stop_delay"),
    ],
)
def test_a_role_alone_is_validated_before_it_connects_to_the_cluster(
    tmp_path: Path, role: str, variables: dict[str, Any], words: str
) -> None:
    code, output = play(tmp_path, alone(role, {"web_service_type": "ClusterIP"} | variables), HOST)
    assert code != 0
    assert words in output
    # Other roles of the play may have made changes.
    assert f"Role {role} made no changes. Correct them" in output
    assert "hunter2" not in output
    assert "/nonexistent" not in output
    assert "changed=0 " in output


@pytest.mark.parametrize("variables", [{}, {"namespace_state": "absent", "app_name": "my_polls"}])
def test_a_valid_role_alone_connects_to_the_cluster(tmp_path: Path, variables: dict[str, Any]) -> None:
    """So does a removal with any variables."""
    _, output = play(tmp_path, alone("namespace", variables), HOST)
    assert "Validation of arguments failed" not in output
    assert "The kubeconfig /nonexistent" in output


def test_a_role_whose_play_has_validated_it_is_not_validated_again(tmp_path: Path) -> None:
    [content] = alone("namespace", {"app_name": "my_polls"})
    name = content.pop("roles")[0]["role"]
    content["tasks"] = [{"ansible.builtin.import_role": {"name": name, "rolespec_validate": False}}]
    _, output = play(tmp_path, [content], HOST)
    assert "Validation of arguments failed" not in output
    assert "The kubeconfig /nonexistent" in output


HOSTS = """
all:
  vars: {ansible_connection: local, cluster_kubeconfig: /nonexistent, cluster_context: none}
  hosts:
    a: {app_name: polls, app_namespace: one}
    b: {app_name: polls, app_namespace: "{{ 'o' ~ 'ne' }}"}
    c: {app_name: polls, app_namespace: two}
    d: {app_name: polls, app_namespace: one, cluster_context: other}
"""


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [([], {"a", "b"}), (["--limit=a,c,d"], set()), (["--limit=a,b"], {"a", "b"}), (["--limit=b"], set())],
)
def test_hosts_that_deploy_the_same_site_are_refused(tmp_path: Path, arguments: list[str], failed: set[str]) -> None:
    files = [str(PROJECT / "roles" / "namespace" / "defaults" / "main.yml")]
    task = {"cloud_django.kubernetes.validate_arguments": {"roles": ["namespace"]}}
    content = [{"hosts": "all", "gather_facts": False, "vars_files": files, "tasks": [task]}]
    _, output = play(tmp_path, content, HOSTS, *arguments)
    assert {host for host in "abcd" if f"fatal: [{host}]" in output} == failed
    assert ("The hosts a, b deploy the same site, polls in namespace one of the same cluster" in output) is bool(failed)


def test_two_kubeconfigs_for_one_cluster_are_the_same_cluster(tmp_path: Path) -> None:
    hosts = {}
    for name in ("a", "b"):
        kubeconfig = {
            "contexts": [{"name": name, "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": "https://192.0.2.1:6443"}}],
        }
        (tmp_path / name).write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        hosts[name] = DEFAULTS | {"cluster_kubeconfig": str(tmp_path / name), "cluster_context": name}
    variables = {"ansible_play_hosts_all": ["a", "b"], "inventory_hostname": "a", "hostvars": hosts}
    [error] = Validation(None, variables).same_site()
    assert error.startswith("The hosts a, b deploy the same site")
    hosts["b"]["cluster_context"] = "missing"
    assert Validation(None, variables).same_site() == []


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({"tls-server-name": "{}.example.org"}, {}),
        ({"certificate-authority-data": "of {}"}, {}),
        # The format of Teleport.
        ({}, {"exec": {"args": ["credentials", "--kube-cluster={}"]}}),
    ],
)
def test_clusters_behind_one_address_are_different_clusters(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    hosts = {}
    for name in ("a", "b"):
        kubeconfig = {
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": "https://192.0.2.1:443"} | cluster}],
            "users": [{"name": "x", "user": user}],
        }
        (tmp_path / name).write_text(yaml.safe_dump(kubeconfig).replace("{}", name), encoding="utf-8")
        hosts[name] = DEFAULTS | {"cluster_kubeconfig": str(tmp_path / name), "cluster_context": "x"}
    variables = {"ansible_play_hosts_all": ["a", "b"], "inventory_hostname": "a", "hostvars": hosts}
    assert Validation(None, variables).same_site() == []
    hosts["b"] = hosts["a"]
    assert len(Validation(None, variables).same_site()) == 1


SITES = """
cloud_django:
  vars:
    ansible_connection: local
    cluster_provider: kind
    cluster_workers: "{{ 2 }}"
    app_name: "{{ inventory_hostname }}"
  hosts:
    a: {app_namespace: one, cluster_context: a}
    b: {app_namespace: one, cluster_context: b}
    c: {app_namespace: one, cluster_workers: 3, mirror_builds_enabled: true}
"""


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [
        ([], {"c"}),
        (["--limit=c"], {"c"}),
        (["--limit=a,b"], set()),
        (["--extra-vars=cluster_provider=existing"], set()),
    ],
)
def test_sites_with_different_clusters_are_refused(tmp_path: Path, arguments: list[str], failed: set[str]) -> None:
    """Even if --limit excludes the other host, because the next run can select it."""
    files = [str(PROJECT / "roles" / "namespace" / "defaults" / "main.yml")]
    task = {"cloud_django.kubernetes.validate_arguments": {"roles": ["namespace"]}}
    content = [{"hosts": "cloud_django", "gather_facts": False, "vars_files": files, "tasks": [task]}]
    _, output = play(tmp_path, content, SITES, *arguments)
    assert {host for host in "abc" if f"fatal: [{host}]" in output} == failed
    expected = "The hosts a and c have different values of cluster_workers, mirror_builds_enabled, but all sites of an"
    assert (expected in output) is bool(failed)


def test_omitted_values_are_not_validated() -> None:
    assert errors_of({"number": {"type": "int"}}, {"number": trust_as_template("{{ omit }}")}) == []


def test_a_template_that_fails_is_one_error() -> None:
    """The default in the argument spec may be a description."""
    spec = {"number": {"type": "int", "default": "<computed>"}}
    [error] = errors_of(spec, {"number": trust_as_template("{{ missing }}")})
    assert error.startswith("number: ")
