"""Layers of the plugins, and the imports that each layer allows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[3] / "plugins"
PREFIX = "ansible_collections.cloud_django.kubernetes.plugins."
# Layers that each layer may import besides itself. Modules may import all layers, but no other module.
LAYERS: dict[str, set[str]] = {
    "api": set(),
    "objects": {"api"},
    "workloads": {"api"},
    "cache": {"api", "objects", "workloads"},
    "postgresql": {"api", "objects", "workloads"},
    "machine": {"api", "images"},
    "images": {"api"},
    "adopt": {"api"},
    "project": {"api", "objects"},
    "site": {"api", "objects", "postgresql", "project", "workloads"},
}
# Kinds of plugins that each kind may import.
KINDS: dict[str, set[str]] = {
    "module_utils": {"module_utils"},
    "modules": {"module_utils"},
    "plugin_utils": {"module_utils", "modules", "plugin_utils", "action"},
    "action": {"module_utils", "modules", "plugin_utils", "action"},
    "callback": {"plugin_utils"},
    "lookup": {"module_utils"},
    "filter": {"module_utils", "filter"},
    "doc_fragments": set(),
}


def imported(source: str) -> set[tuple[str, ...]]:
    """Return the imports from the collection in a source, without the prefix of the collection."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        # A relative import can only name a file of the same directory, because a second dot is refused.
        if isinstance(node, ast.ImportFrom):
            assert node.level < 2, "A relative import leaves its directory. Use the absolute name of the module."
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {tuple(name.removeprefix(PREFIX).split(".")) for name in names if name.startswith(PREFIX)}
    return found


def wrong_imports(path: tuple[str, ...], source: str) -> list[str]:
    """Return the imports of a file that its layer doesn't allow; `path` is relative to plugins/."""
    bad = []
    for target in imported(source):
        if target[0] not in KINDS[path[0]]:
            bad.append(".".join(target))
        elif path[0] == target[0] == "module_utils" and path[1] != target[1]:
            if len(path) < 3 or target[1] not in LAYERS[path[1]]:
                bad.append(".".join(target))
        elif path[0] == target[0] == "modules":
            bad.append(".".join(target))
    return sorted(bad)


@pytest.mark.parametrize("file", sorted(PLUGINS.rglob("*.py")), ids=lambda file: str(file.relative_to(PLUGINS)))
def test_imports_are_allowed(file: Path) -> None:
    assert wrong_imports(file.relative_to(PLUGINS).parts, file.read_text(encoding="utf-8")) == []


def test_each_directory_of_module_utils_is_a_layer() -> None:
    directories = {entry.name for entry in (PLUGINS / "module_utils").iterdir() if entry.name != "__pycache__"}
    assert directories == set(LAYERS)


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
def test_a_wrong_import_is_found(path: tuple[str, ...], line: str) -> None:
    assert wrong_imports(path, f"from {PREFIX}{line}\n")


def test_a_relative_import_of_another_directory_is_found() -> None:
    with pytest.raises(AssertionError):
        wrong_imports(("module_utils", "api", "client.py"), "from ..objects import ownership\n")


def test_hand_written_files_are_short() -> None:
    project = PLUGINS.parent
    long = {
        str(file.relative_to(project)): lines
        for directory in ("plugins", "roles", "playbooks")
        for file in (project / directory).rglob("*")
        if file.is_file() and file.suffix in (".py", ".yml", ".go", ".sh", ".md", "")
        if "__pycache__" not in file.parts
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
