"""Argument specs from the documentation of modules."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of

MODULES = "ansible_collections.cloud_django.kubernetes.plugins.modules"
DOCUMENTATION = """
options:
  name: {description: A name., type: str, required: true}
  state: {description: A state., type: str, choices: [present, absent], default: present}
  users:
    description: Users.
    type: list
    elements: dict
    default: []
    suboptions:
      password: {description: A password., type: str}
      limit: {description: A number., type: int, default: -1}
"""


def test_documented_options_are_arguments() -> None:
    spec = options_of(DOCUMENTATION, password=True)
    assert spec["name"] == {"type": "str", "required": True}
    assert spec["users"]["options"] == {
        "password": {"type": "str", "no_log": True},
        "limit": {"type": "int", "default": -1},
    }
    given = {"name": "polls", "users": [{"password": "x", "limit": "3"}]}
    found = ModuleArgumentSpecValidator(spec).validate(given)
    assert found.errors.messages == []
    assert found.validated_parameters["state"] == "present"
    assert found.validated_parameters["users"] == [{"password": "x", "limit": 3}]
    assert found._no_log_values == {"x"}


@pytest.mark.parametrize("given", [{}, {"name": "polls", "state": "gone"}, {"name": "polls", "users": [{"limits": 3}]}])
def test_undocumented_options_are_refused(given: dict[str, Any]) -> None:
    assert ModuleArgumentSpecValidator(options_of(DOCUMENTATION)).validate(given).errors.messages


@pytest.mark.parametrize(
    ("module", "secret", "public"),
    [
        ("apply", ["compose", "secret_values", "sources"], ["required.secret"]),
        ("postgresql_access", ["roles.password"], ["roles.secret", "ca_secret", "required_secrets"]),
        ("postgresql_credentials", ["admin_password"], []),
        ("rollout", ["mask"], []),
    ],
)
def test_only_secret_options_have_no_log(module: str, secret: list[str], public: list[str]) -> None:
    spec = import_module(f"{MODULES}.{module}").OPTIONS
    marks = {}
    for name, option in spec.items():
        marks[name] = option.get("no_log")
        marks |= {f"{name}.{below}": entry.get("no_log") for below, entry in option.get("options", {}).items()}
    assert sorted(name for name, mark in marks.items() if mark) == sorted(secret)
    # Ansible warns about option names that look secret unless no_log is false.
    assert sorted(name for name, mark in marks.items() if mark is False) == sorted(public)


def test_an_error_for_the_user_is_the_message() -> None:
    module = MagicMock()
    module.fail_json.side_effect = SystemExit
    with pytest.raises(SystemExit):
        conclude(module, MagicMock(side_effect=CloudDjangoError("The thing", "is broken", "Repair it")))
    module.fail_json.assert_called_once_with(changed=False, msg="The thing is broken. Repair it.")


def test_a_result_is_unchanged_by_default() -> None:
    for result, changed in (({"seconds": 1}, False), ({"changed": True}, True)):
        module = MagicMock()
        conclude(module, MagicMock(return_value=result))
        module.exit_json.assert_called_once_with(**{"changed": changed} | result)
