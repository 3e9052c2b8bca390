"""Lookup that evaluates a variable once in the process of a task."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.cloud_django.kubernetes.plugins.lookup import once


class Templates:
    """Counts evaluations."""

    def __init__(self) -> None:
        self.number = 0

    def template(self, value: Any) -> str:
        self.number += 1
        return f"{value} {self.number}"


@pytest.fixture(autouse=True)
def _no_values() -> Iterator[None]:
    once._values.clear()
    yield
    once._values.clear()


@pytest.fixture
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as the process of a task does, which has a parent."""
    monkeypatch.setattr(multiprocessing, "parent_process", object)


def lookup() -> once.LookupModule:
    found = once.LookupModule()
    found._templar = Templates()
    return found


@pytest.mark.usefixtures("_task")
def test_task_evaluates_a_variable_once() -> None:
    values = lookup()
    variables = {"a": "x", "b": "y"}
    assert values.run(["a"], variables) == values.run(["a"], variables) == ["x 1"]
    assert values.run(["b", "a"], variables) == ["y 2", "x 1"]


@pytest.mark.usefixtures("_task")
@pytest.mark.parametrize("name", ["item", "worker"])
def test_loop_evaluates_a_variable_for_each_item(name: str) -> None:
    values = lookup()
    variables: dict[str, Any] = {"a": "x", name: {"name": "one"}, "ansible_loop_var": name}
    assert values.run(["a"], variables) == values.run(["a"], variables) == ["x 1"]
    variables[name] = {"name": "two"}
    assert values.run(["a"], variables) == values.run(["a"], variables) == ["x 2"]


def test_main_process_keeps_no_value() -> None:
    """It runs all tasks, so a value of one task could be wrong in the next."""
    values = lookup()
    assert values.run(["a"], {"a": "x"}) == ["x 1"]
    assert values.run(["a"], {"a": "x"}) == ["x 2"]


def test_undefined_variable_is_refused() -> None:
    with pytest.raises(AnsibleLookupError, match="a is not defined"):
        lookup().run(["a"], {})
