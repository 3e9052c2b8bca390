"""Removals of the parts of a site, which need neither the values of the project nor its address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from rendering import PROJECT, files_of, rendered, rendered_cases

# Roles that create pods of the project.
ROLES = ("migrations", "superuser", "processes", "web")
SITE = {"app_name": "shop", "app_namespace": "shop", "app_public_url": ""}
SITE |= {"django_image": "none", "cache_state": "present", "app_data": "purge"}
# The evaluation of each fails, like that of a password whose vault or environment variable is missing.
MISSING = "{{ lookup('ansible.builtin.file', '/missing/password') }}"
VALUES: dict[str, Any] = {
    "django_environment": {
        "A": {"from": "site.url"},
        "B": {"value": MISSING},
        "C": {"template": "${superuser.password}"},
    },
    "django_files": {"/etc/shop.cfg": {"template": MISSING}, "/etc/b": {"source": MISSING}},
    "django_local_settings": MISSING,
    "django_generated": MISSING,
    "django_email": MISSING,
    **dict.fromkeys(("superuser_username", "superuser_password", "superuser_email", "superuser_fields"), MISSING),
    **dict.fromkeys(("migrations_before", "migrations_command", "migrations_commands"), MISSING),
    "processes_workers": {"celery": {"command": ["celery"], "environment": {"A": MISSING}}},
    # Computed values, which have each of the values above and the address.
    **dict.fromkeys(("__django_computed_values", "__django_computed_url"), MISSING),
}
# Options of the module apply with values.
OPTIONS = ("generate", "compose", "sources", "required", "secret_values")


def all_tasks(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each task, those of blocks included."""
    for task in content:
        yield task
        for part in ("block", "always"):
            yield from all_tasks(task.get(part, []))


def variables_of_removal(role: str) -> dict[str, Any]:
    """Return the variables with which the playbook teardown removes a role, without the wait for the end of pods."""
    plays = yaml.safe_load((PROJECT / "playbooks" / "teardown.yml").read_text(encoding="utf-8"))
    found = [
        task["vars"]
        for task in all_tasks(plays[1]["tasks"])
        if task.get("ansible.builtin.import_role") == {"name": f"cloud_django.kubernetes.{role}"}
    ]
    assert found[0][f"{role}_state"] == "absent"
    return found[0]


def case_of(role: str) -> dict[str, Any]:
    """Return variables for all tasks of a role: `removal` has the arguments of each task that runs, by name."""
    tasks = yaml.safe_load((PROJECT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    case: dict[str, Any] = {"role_path": str(PROJECT / "roles" / role), f"__{role}_applied": {"unfinished": []}}
    parts = []
    for number, task in enumerate(tasks):
        [arguments] = [value for key, value in task.items() if "." in key]
        case |= {f"arguments_{number}": arguments, f"loop_{number}": task.get("loop", [0])} | task.get("vars", {})
        case[task.get("loop_control", {}).get("loop_var", "item")] = ""
        conditions = task.get("when", "true")
        conditions = [f"loop_{number} | length > 0", *([conditions] if isinstance(conditions, str) else conditions)]
        condition = " and ".join(f"({each})" for each in conditions)
        parts.append(f"({{'{task['name']}': arguments_{number}}} if {condition} else {{}})")
    return case | {"removal": f"{{{{ {{}} | combine({', '.join(parts)}) }}}}"}


@pytest.fixture(scope="module")
def removals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the arguments of the tasks that a removal runs, by role and name of the task."""
    cases = {role: case_of(role) | variables_of_removal(role) | VALUES for role in ROLES}
    folder = tmp_path_factory.mktemp("removal")
    found = rendered_cases(folder, {"tasks": "removal"}, dict.fromkeys(ROLES, "main"), SITE, cases)
    return {role: each["tasks"] for role, each in found.items()}


@pytest.mark.parametrize("role", ROLES)
def test_removal_needs_no_value_of_the_project(removals: dict[str, dict[str, Any]], role: str) -> None:
    """Nor the address of a node, which no task of a removal reads."""
    [arguments] = removals[role].values()
    assert arguments["state"] == "absent"
    assert {option: arguments[option] for option in OPTIONS if arguments.get(option)} == {}
    assert arguments["objects"] + arguments["prune"]


def test_address_is_empty_without_nodes() -> None:
    files = files_of("postgresql", "database", "cache", "image", "django", "web")
    assert rendered(files, ["__django_address"], [SITE]) == [[""]]
