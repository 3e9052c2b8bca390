"""Compiled templates of the collection are stored for later runs, and never those of inventories."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible._internal._datatag._tags import Origin
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import template_store
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.template_store import (
    checksum,
    header_of,
    read,
    store_added,
)
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.templates import (
    ROOTS,
    SharedTemplates,
    is_own,
    share_templates,
)

HEADER = header_of([])
ROOT = min(ROOTS)


@pytest.fixture
def shared() -> Iterator[SharedTemplates]:
    shared = SharedTemplates()
    yield shared
    os.close(shared.file)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "__pycache__" / "store.templates"


def code(number: int) -> Any:
    return compile(str(number), "", "eval")


def values(file: Path, header: bytes = HEADER) -> dict[Any, Any]:
    return {key: eval(found) for key, found in read(file, header).items()}


def test_templates_of_the_collection_are_stored(file: Path, shared: SharedTemplates) -> None:
    shared.add("own", code(1), is_own=True)
    shared.add("other", code(2))
    store_added(file, HEADER, {}, shared)
    assert values(file) == {"own": 1}
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_templates_of_earlier_runs_stay(file: Path, shared: SharedTemplates, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"first": code(1), "second": code(2)}
    shared.start_with(stored)
    assert shared.get("first") == stored["first"]
    shared.add("third", code(3), is_own=True)
    store_added(file, HEADER, stored, shared)
    assert values(file) == {"first": 1, "second": 2, "third": 3}
    monkeypatch.setattr(template_store, "MOST", 1)
    store_added(file, HEADER, stored, shared)
    assert values(file) == {"third": 3}


def test_a_run_without_new_templates_writes_nothing(file: Path, shared: SharedTemplates) -> None:
    shared.start_with({"first": code(1)})
    store_added(file, HEADER, {"first": code(1)}, shared)
    assert not file.parent.exists()


def test_nothing_is_written_without_bytecode(
    file: Path, shared: SharedTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shared.add("own", code(1), is_own=True)
    store_added(file, HEADER, {}, shared)
    assert not file.parent.exists()


def test_a_directory_without_permission_is_no_error(file: Path, shared: SharedTemplates) -> None:
    file.parent.write_text("a file, not a directory", encoding="utf-8")
    shared.add("own", code(1), is_own=True)
    store_added(file, HEADER, {}, shared)
    assert read(file, HEADER) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEADER,
        HEADER + b"\0\0\0\0",
        HEADER + b"\0\0\0\1" + marshal.dumps({}),
        (HEADER + checksum(marshal.dumps({"a": 1})) + marshal.dumps({"a": 1}))[:-1],
        b"other versions\n" + checksum(marshal.dumps({"a": 1})) + marshal.dumps({"a": 1}),
    ],
)
def test_an_unusable_file_is_ignored(content: bytes, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    assert read(file, HEADER) == {}


def test_other_versions_have_other_templates(file: Path, shared: SharedTemplates) -> None:
    shared.add("own", code(1), is_own=True)
    store_added(file, HEADER, {}, shared)
    assert values(file, header_of(["jinja2.ext.do"])) == {}
    assert jinja2.__version__ in HEADER.decode().split()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("roles/web/vars/main/names.yml", True),
        ("playbooks/site.yml", True),
        ("inventory/kind/group_vars/all/main.yml", False),
        ("roles.yml", False),
        ("/home/user/roles/mine/vars/main.yml", False),
        (None, False),
    ],
)
def test_only_roles_and_playbooks_are_of_the_collection(path: str | None, expected: bool) -> None:
    text = trust_as_template("{{ number }}")
    assert is_own(Origin(path=str(ROOT / path)).tag(text) if path else text) is expected


def test_the_origin_of_templates_and_expressions_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[Any, bool]] = []
    monkeypatch.setattr(SharedTemplates, "get", lambda self, key: None)
    monkeypatch.setattr(SharedTemplates, "add", lambda self, key, code, own=False: added.append((key[1], own)))
    for name in ("compile", "compile_expression"):
        monkeypatch.setattr(AnsibleEnvironment, name, getattr(AnsibleEnvironment, name))
    os.close(share_templates().file)
    added.clear()
    templar = Templar(None, {"number": 1})
    for path in (ROOT / "roles/web/tasks/main.yml", ROOT / "inventory/kind/group_vars/all/secret.yml"):
        origin = Origin(path=str(path))
        assert templar.template(origin.tag(trust_as_template("{{ number }}"))) == 1
        assert templar.evaluate_expression(origin.tag(trust_as_template("number > 0"))) is True
    assert {own for key, own in added if key == "{{ number }}"} == {True, False}
    assert {own for key, own in added if key == "number > 0"} == {True, False}


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Two processes evaluate a template of a role and one of an inventory."""
    program = f"""
import sys
from pathlib import Path
import jinja2
from ansible.template import Templar, trust_as_template
from ansible._internal._datatag._tags import Origin
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import template_store
template_store.share_stored_templates()
compiled = []
generate = jinja2.Environment._generate
jinja2.Environment._generate = lambda self, source, *others, **named: (
    compiled.append(1) or generate(self, source, *others, **named)
)
templar = Templar(None, {{"number": 1}})
for path in ("roles/web/tasks/main.yml", "inventory/kind/group_vars/all/secret.yml"):
    text = "{{{{ number }}}} " + path
    assert templar.template(Origin(path={str(ROOT)!r} + "/" + path).tag(trust_as_template(text))) == f"1 {{path}}"
print(len(compiled))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    run = [sys.executable, "-c", program]
    for expected in ("2", "1"):
        done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
        assert (done.stdout.strip(), done.stderr) == (expected, "")
    [stored] = tmp_path.rglob("*.templates")
    assert b"roles/web" in stored.read_bytes()
    assert b"inventory/kind" not in stored.read_bytes()
