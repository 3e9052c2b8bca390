"""The arguments of several roles are validated in one task, with the errors of all of them and no secret value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.action.validate_arguments import ActionModule

PROJECT = Path(__file__).parents[3]
DEFAULTS = {"app_name": "polls", "app_namespace": "polls", "app_public_url": ""}


def run(folder: Path, roles: list[str], variables: dict[str, Any]) -> tuple[int, str]:
    """Run the task with the defaults of the roles; return the exit status of the play and its output on one line."""
    files = [str(PROJECT / "roles" / role / "defaults" / "main.yml") for role in roles]
    task = {"cloud_django.kubernetes.validate_arguments": {"roles": roles}}
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    (folder / "variables.yml").write_text(yaml.safe_dump(DEFAULTS | variables), encoding="utf-8")
    playbook = [Path(sys.executable).with_name("ansible-playbook"), "--inventory=localhost,", folder / "play.yml"]
    ended = subprocess.run(
        [*playbook, f"--extra-vars=@{folder}/variables.yml"],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


def test_valid_arguments_are_accepted(tmp_path: Path) -> None:
    code, output = run(tmp_path, ["namespace", "lease"], {})
    assert code == 0, output


def test_errors_of_all_roles_are_reported_with_role_and_option(tmp_path: Path) -> None:
    variables = {"namespace_state": "away", "lease_wait": "{{ no_such_variable }}"}
    code, output = run(tmp_path, ["namespace", "lease"], variables)
    assert code != 0
    assert "Validation of arguments failed: namespace: value of namespace_state must be one of: " in output
    assert "lease: lease_wait: 'no_such_variable' is undefined" in output


@pytest.mark.parametrize(("refusal", "expected"), [("{{ 'The two do not fit.' }}", 2), ("{{ '' }}", 0)])
def test_what_a_role_refuses_fails_after_its_arguments(tmp_path: Path, refusal: str, expected: int) -> None:
    code, output = run(tmp_path, ["namespace", "lease"], {"__lease_refusal": refusal})
    assert code == expected, output
    assert ("The two do not fit." in output) is bool(expected)
    both = {"__lease_refusal": refusal, "namespace_state": "away"}
    assert "Validation of arguments failed" in run(tmp_path, ["namespace", "lease"], both)[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ({"type": "int"}, "hunter2"),
        ({"type": "list", "elements": "int"}, ["hunter2"]),
        ({"type": "int"}, {"a": "hunter2"}),
    ],
)
@pytest.mark.parametrize("no_log", [True, False])
def test_no_secret_is_shown(option: dict[str, Any], value: Any, no_log: bool) -> None:
    [error] = errors_of({"pin": option | {"no_log": no_log}}, {"pin": value})
    assert "pin" in error
    assert ("hunter2" in error) is not no_log


def errors_of(spec: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    action = ActionModule.__new__(ActionModule)
    action._templar = Templar(None, variables)
    return list(action._errors(spec, variables))


def test_what_is_omitted_is_not_validated() -> None:
    assert errors_of({"number": {"type": "int"}}, {"number": trust_as_template("{{ omit }}")}) == []


def test_a_template_that_fails_is_one_error() -> None:
    """The default in the specification may be a description."""
    spec = {"number": {"type": "int", "default": "<computed>"}}
    [error] = errors_of(spec, {"number": trust_as_template("{{ missing }}")})
    assert error.startswith("number: ")
