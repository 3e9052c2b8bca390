"""Rules for the variables of the migrations and the superuser. Each refused value would fail later, in a Job."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules


def errors_of(**values: Any) -> list[str]:
    return list(rules.errors(values))


WRONG_COMMANDS = {
    "no command": [[], [""], [5], [["migrate"]]],
    "no management command": [["manage"], ["manage", ""], ["manage", 5]],
    "not a word": [["check", ["--deploy"]], ["check", {"a": "b"}], ["check", None]],
    "one word with spaces": [["python manage.py migrate"]],
}
CASES = [(words, command) for words, commands in WRONG_COMMANDS.items() for command in commands]


@pytest.mark.parametrize("name", ["migrations_before", "migrations_commands"])
@pytest.mark.parametrize(("words", "command"), CASES)
def test_a_list_with_a_command_that_cannot_run_is_refused(name: str, words: str, command: list[Any]) -> None:
    [error] = errors_of(**{name: [["check"], command]})
    assert error.startswith(f"{name}[1] is ")
    assert words in error


@pytest.mark.parametrize("name", ["migrations_command", "superuser_command"])
@pytest.mark.parametrize(("words", "command"), [case for case in CASES if case[1]])
def test_a_command_that_cannot_run_is_refused(name: str, words: str, command: list[Any]) -> None:
    [error] = errors_of(**{name: command})
    assert error.startswith(f"{name} is ")
    assert words in error


@pytest.mark.parametrize(
    "command",
    [["load_demo_polls"], ["manage", "check", "--deploy"], ["sh", "-c", "a && b"], ["loaddata", "a b", 5, 0.5, True]],
)
def test_commands_that_can_run_are_accepted(command: list[Any]) -> None:
    lists = {"migrations_before": [command], "migrations_commands": [command, command]}
    assert errors_of(migrations_command=command, superuser_command=command, **lists) == []


def test_without_commands_the_roles_have_their_own() -> None:
    assert errors_of(migrations_command=[], superuser_command=[], migrations_before=[], migrations_commands=[]) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("first name", "Anna", "is not the name of a field"),
        (5, "Anna", "is not the name of a field"),
        ("password", "hunter2", "Set superuser_password instead"),
        ("groups", ["a"], "is not a string, a number, or a Boolean"),
    ],
)
def test_a_field_that_the_superuser_cannot_have_is_refused(name: Any, value: Any, words: str) -> None:
    [error] = errors_of(superuser_fields={name: value})
    assert words in error
    assert "hunter2" not in error


def test_fields_of_the_superuser_are_accepted() -> None:
    assert errors_of(superuser_fields={"first_name": "Anna", "level": 5, "is_member": True, "born": "1990-01-31"}) == []
