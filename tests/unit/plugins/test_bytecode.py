"""The collection's modules are compiled once for all runs, and again after a change."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.bytecode import PLUGINS, CompiledModules

ROOT = Path(__file__).parents[3]
UTILS = f"{PLUGINS}plugin_utils"


def test_modules_have_the_loader_of_python() -> None:
    spec = CompiledModules().find_spec(f"{UTILS}.screen", [str(ROOT / "plugins" / "plugin_utils")])
    assert spec
    assert isinstance(spec.loader, SourceFileLoader)
    assert spec.origin == str(ROOT / "plugins" / "plugin_utils" / "screen.py")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (f"{PLUGINS}plugin_utils", [str(ROOT / "plugins")]),
        (f"{UTILS}.missing", [str(ROOT / "plugins" / "plugin_utils")]),
        (f"{UTILS}.screen", None),
        ("ansible_collections.kubernetes.core.plugins.plugin_utils.screen", [str(ROOT / "plugins" / "plugin_utils")]),
        ("screen", [str(ROOT / "plugins" / "plugin_utils")]),
    ],
)
def test_other_modules_are_left_to_other_finders(name: str, path: list[str] | None) -> None:
    assert CompiledModules().find_spec(name, path) is None


def test_a_changed_module_is_compiled_again(tmp_path: Path) -> None:
    """A program imports a copy of the collection twice, with a change in between."""
    collections = tmp_path / "ansible_collections"
    copy = collections / "cloud_django" / "kubernetes"
    (copy / "plugins" / "plugin_utils").mkdir(parents=True)
    (copy / "plugins" / "plugin_utils" / "bytecode.py").write_text(
        (ROOT / "plugins" / "plugin_utils" / "bytecode.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    module = copy / "plugins" / "plugin_utils" / "example.py"
    program = (
        "from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder\n"
        f"_AnsibleCollectionFinder(paths=[{str(tmp_path)!r}])._install()\n"
        f"from {UTILS}.bytecode import store_bytecode\n"
        "store_bytecode()\n"
        f"from {UTILS} import example\n"
        "print(example.VALUE)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for number in (1, 22):
        module.write_text(f"VALUE = {number}\n", encoding="utf-8")
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout.strip() == str(number)
        assert list((copy / "plugins" / "plugin_utils" / "__pycache__").glob("example.*.pyc"))
