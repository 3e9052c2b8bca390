"""The floors of the plugins: which may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[3] / "plugins"
PREFIX = "ansible_collections.cloud_django.kubernetes.plugins."
# What each floor may import besides itself. Modules may import every floor, and no other module.
FLOORS: dict[str, set[str]] = {
    "api": set(),
    "objects": {"api"},
    "workloads": {"api"},
    "postgresql": {"api", "objects", "workloads"},
    "machine": {"api", "images"},
    "images": {"api"},
    "site": {"api", "objects", "postgresql", "workloads"},
}
# What each kind of plugin may import of the others.
KINDS: dict[str, set[str]] = {
    "module_utils": {"module_utils"},
    "modules": {"module_utils"},
    "plugin_utils": {"module_utils", "modules", "plugin_utils", "action"},
    "action": {"module_utils", "modules", "plugin_utils", "action"},
    "callback": {"plugin_utils"},
    "lookup": {"module_utils"},
    "filter": {"module_utils"},
    "doc_fragments": set(),
}


def imported(source: str) -> set[tuple[str, ...]]:
    """Return the parts of our own modules that a source imports, without the prefix of the collection."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        # A relative one can only name a neighbour, since a second dot is refused.
        if isinstance(node, ast.ImportFrom):
            assert node.level < 2, "An import climbs out of its folder: name the whole module."
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {tuple(name.removeprefix(PREFIX).split(".")) for name in names if name.startswith(PREFIX)}
    return found


def offences(path: tuple[str, ...], source: str) -> list[str]:
    """Return which imports of a file, named by its path below plugins/, go against the direction."""
    bad = []
    for target in imported(source):
        if target[0] not in KINDS[path[0]]:
            bad.append(".".join(target))
        elif path[0] == target[0] == "module_utils" and path[1] != target[1]:
            if len(path) < 3 or target[1] not in FLOORS[path[1]]:
                bad.append(".".join(target))
        elif path[0] == target[0] == "modules":
            bad.append(".".join(target))
    return sorted(bad)


@pytest.mark.parametrize("file", sorted(PLUGINS.rglob("*.py")), ids=lambda file: str(file.relative_to(PLUGINS)))
def test_imports_go_one_way(file: Path) -> None:
    assert offences(file.relative_to(PLUGINS).parts, file.read_text(encoding="utf-8")) == []


def test_each_part_of_module_utils_is_a_known_floor() -> None:
    folders = {entry.name for entry in (PLUGINS / "module_utils").iterdir() if entry.name != "__pycache__"}
    assert folders == set(FLOORS)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("module_utils", "api", "client.py"), "module_utils.objects import ownership"),
        (("module_utils", "workloads", "pods.py"), "module_utils.objects import ownership"),
        (("module_utils", "objects", "secrets.py"), "modules import apply"),
        (("modules", "apply.py"), "plugin_utils import direct"),
        (("modules", "apply.py"), "modules import rollout"),
    ],
)
def test_an_import_in_the_other_direction_is_found(path: tuple[str, ...], line: str) -> None:
    assert offences(path, f"from {PREFIX}{line}\n")


def test_an_import_that_climbs_is_found() -> None:
    with pytest.raises(AssertionError):
        offences(("module_utils", "api", "client.py"), "from ..objects import ownership\n")


def test_hand_written_files_are_short() -> None:
    project = PLUGINS.parent
    long = {
        str(file.relative_to(project)): lines
        for folder in ("plugins", "roles", "playbooks")
        for file in (project / folder).rglob("*")
        if file.is_file() and file.suffix in (".py", ".yml", ".go", ".sh", ".md", "")
        if "__pycache__" not in file.parts
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
