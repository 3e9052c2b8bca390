"""The interface of each role: names, defaults, and an argument specification that agrees with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())

# Intended exceptions: the rule, the role, and the name, with the reason.
EXCEPTIONS: dict[tuple[str, str, str], str] = {
    ("scenario", "django", "django"): "It makes nothing by itself: migrations, superuser and web run what it holds.",
    ("scenario", "teardown", "teardown"): "It changes nothing: lifecycle and cluster_pin run it with other roles.",
}
# Public although it is computed, so that a playbook can inspect the control node for all of these roles in one task.
EXCEPTIONS |= {
    ("internal names", role, f"{role}_inspection"): "playbooks/site.yml gives it to cluster_info."
    for role in ("cluster", "container_engine", "image", "mirror_builds")
}


def without_exceptions(rule: str, role: str, names: set[str]) -> set[str]:
    return {name for name in names if (rule, role, name) not in EXCEPTIONS}


def yaml_files(role: str, folder: str) -> list[Path]:
    """Return the files of a directory of the role, those in subdirectories included."""
    return sorted((PROJECT / "roles" / role / folder).rglob("*.yml"))


def variables(role: str, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in yaml_files(role, folder):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        assert not found.keys() & content.keys(), f"{path} defines something again"
        found |= content
    return found


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of the role's entry point `main`."""
    path = PROJECT / "roles" / role / "meta" / "argument_specs.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"].get("options", {})


def all_options(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and specification of each option, those inside of others included."""
    pending = list(options(role).items())
    while pending:
        name, specification = pending.pop()
        yield name, specification
        pending += [(f"{name}.{inner}", value) for inner, value in specification.get("options", {}).items()]


def role_entries(playbook: str) -> list[tuple[str, set[str]]]:
    """Return the roles that a playbook runs as a whole, in order and without the collection, with their tags."""
    plays = yaml.safe_load((PROJECT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))
    found = []
    for play in plays:
        found += [(entry["role"], entry["tags"]) for entry in play.get("roles", [])]
        imports = [(task.get("ansible.builtin.import_role", {}), task) for task in tasks(play.get("tasks", []))]
        found += [(role["name"], task.get("tags", [])) for role, task in imports if role and "tasks_from" not in role]
    return [(name.rpartition(".")[2], set(tags)) for name, tags in found]


def roles_of(playbook: str) -> list[str]:
    return [name for name, _ in role_entries(playbook)]


def tasks(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each task, blocks and what is in them included."""
    for task in content:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


def undocumented(text: str) -> set[str]:
    """Return the variables of a defaults file whose paragraph has no comment above them."""
    names = set()
    is_documented = False
    for line in text.splitlines():
        if not line.strip():
            is_documented = False
        elif line.startswith("#"):
            is_documented = True
        elif line[0].isalpha() and not is_documented:
            names.add(line.partition(":")[0])
    return names


def test_there_are_roles() -> None:
    assert ROLES


@pytest.mark.parametrize("playbook", ["site", "scale", "teardown"])
def test_the_lease_is_acquired_before_the_site_is_changed(playbook: str) -> None:
    roles = roles_of(playbook)
    changes = {"cache", "database", "image", "migrations", "postgresql", "processes", "superuser", "web"}
    assert roles.count("lease") == 1
    assert roles.index("lease") < min(roles.index(role) for role in changes if role in roles)


@pytest.mark.parametrize("playbook", ["site", "scale", "teardown"])
def test_the_lease_is_acquired_with_each_tag_of_the_site(playbook: str) -> None:
    [lease] = [tags for name, tags in role_entries(playbook) if name == "lease"]
    before = set(roles_of(playbook)[: roles_of(playbook).index("lease")])
    assert lease == set(roles_of(playbook)) - before - {"cluster"}


def test_each_exception_is_for_a_role_and_has_a_reason() -> None:
    assert {role for _, role, _ in EXCEPTIONS} <= set(ROLES)
    assert all(EXCEPTIONS.values())


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specification_name_the_same_variables(role: str) -> None:
    differences = variables(role, "defaults").keys() ^ options(role).keys()
    assert not without_exceptions("same names", role, differences)


@pytest.mark.parametrize("role", ROLES)
def test_public_names_start_with_the_role(role: str) -> None:
    names = variables(role, "defaults").keys() | options(role).keys()
    wrong = {name for name in names if not name.startswith(f"{role}_")}
    assert not without_exceptions("public names", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_internal_names_start_with_two_underscores_and_the_role(role: str) -> None:
    wrong = {name for name in variables(role, "vars") if not name.startswith(f"__{role}_")}
    assert not without_exceptions("internal names", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_each_default_has_a_comment(role: str) -> None:
    wrong = set().union(*(undocumented(path.read_text(encoding="utf-8")) for path in yaml_files(role, "defaults")))
    assert not without_exceptions("comments", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_each_option_has_a_type_and_a_description(role: str) -> None:
    wrong = {name for name, value in all_options(role) if not (value.get("type") and value.get("description"))}
    assert not without_exceptions("types and descriptions", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_each_option_that_is_not_required_has_a_default(role: str) -> None:
    wrong = {name for name, value in all_options(role) if not value.get("required") and "default" not in value}
    assert not without_exceptions("defaults", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_no_option_with_a_default_is_required(role: str) -> None:
    wrong = {name for name, value in all_options(role) if value.get("required") and "default" in value}
    wrong |= {name for name in variables(role, "defaults") if options(role).get(name, {}).get("required")}
    assert not without_exceptions("required", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_documented_defaults_are_the_real_ones(role: str) -> None:
    """Templated defaults are described in the specification, and are not compared."""
    specified = options(role)
    wrong = {
        name
        for name, value in variables(role, "defaults").items()
        if name in specified and "{{" not in str(value) and specified[name].get("default") != value
    }
    assert not without_exceptions("same defaults", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_each_task_name_starts_with_its_file(role: str) -> None:
    wrong = set()
    for path in yaml_files(role, "tasks"):
        prefix = "" if path.stem == "main" else f"{path.stem} | "
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")) or []):
            name = task.get("name", "")
            if not name or not name.startswith(prefix):
                wrong.add(f"{path.name}: {name or sorted(task)}")
    assert not without_exceptions("task names", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_objects_are_applied_by_the_one_module(role: str) -> None:
    """It checks who manages an object before the first change, which kubernetes.core.k8s does not."""
    content = [tasks(yaml.safe_load(path.read_text(encoding="utf-8")) or []) for path in yaml_files(role, "tasks")]
    wrong = {task["name"] for file in content for task in file if {"kubernetes.core.k8s", "k8s"} & task.keys()}
    assert not without_exceptions("one way to apply", role, wrong)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_molecule_scenario(role: str) -> None:
    without = set() if (PROJECT / "molecule" / role / "molecule.yml").is_file() else {role}
    assert not without_exceptions("scenario", role, without)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("---\n# Why\na: 1\n", set()),
        ("# Why\na: 1\nb: 2\n", set()),
        ("# Why\n\na: 1\n", {"a"}),
        ("# Why\na: 1\n\nb: 2\n", {"b"}),
        ("---\na:\n  # Of the key\n  key: 1\n", {"a"}),
        ("# Why\na:\n  - 1\n\n  - 2\n\n# Why\nb: 2\n", set()),
    ],
)
def test_comment_belongs_to_its_paragraph(text: str, names: set[str]) -> None:
    assert undocumented(text) == names
