"""The wrapper that runs runc without CAP_SYS_RESOURCE. A fake runc records its input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/container_engine/files/oci-runtime-without-sys-resource"
DROPPED = "CAP_SYS_RESOURCE"
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
RUNC = """#!/bin/sh
printf '%s\\0' "$0" "$@" > "$RECORD"
exit 42
"""


@pytest.fixture(scope="module")
def runtime() -> ModuleType:
    loader = SourceFileLoader("oci_runtime", str(PROGRAM))
    # Without a bytecode cache beside the program.
    former, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        module = module_from_spec(spec_from_loader(loader.name, loader))
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = former
    return module


def process(*extra: str) -> dict[str, Any]:
    names = ["CAP_CHOWN", *extra, "CAP_SYS_ADMIN"]
    return {"args": ["sh"], "capabilities": {name: list(names) for name in SETS}}


class Host:
    """A directory with a bundle, the document of a process, and a fake runc first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "record"
        self.bin = folder / "bin"
        self.bundle = folder / "bundle"
        self.config = self.bundle / "config.json"
        self.process = folder / "process.json"
        self.bin.mkdir()
        self.bundle.mkdir()
        (self.bin / "runc").write_text(RUNC)
        (self.bin / "runc").chmod(0o755)
        self.config.write_text(json.dumps({"ociVersion": "1.2.0", "process": process(DROPPED), "root": {"path": "r"}}))
        self.process.write_text(json.dumps(process(DROPPED)))

    def run(self, *arguments: str, folder: Path | None = None) -> list[str]:
        """Run the wrapper, and return the arguments of the fake runc."""
        environment = os.environ | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "RECORD": str(self.record)}
        done = subprocess.run([sys.executable, PROGRAM, *arguments], env=environment, cwd=folder, check=False)
        # The exit status of the fake runc.
        assert done.returncode == 42
        name, *rest, end = self.record.read_text().split("\0")
        assert (name, end) == (str(self.bin / "runc"), "")
        return rest

    @property
    def has_changed(self) -> tuple[bool, bool]:
        """Return whether the documents of bundle and process lost the capability, and nothing else."""
        config = json.loads(self.config.read_text())
        assert (config["ociVersion"], config["root"]) == ("1.2.0", {"path": "r"})
        documents = (config["process"], json.loads(self.process.read_text()))
        assert all(document in (process(), process(DROPPED)) for document in documents)
        return documents[0] == process(), documents[1] == process()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("style", ["--bundle {}", "-b {}", "--bundle={}", "-b={}"])
def test_new_container_loses_the_capability(host: Host, command: str, style: str) -> None:
    flags = style.format(host.bundle).split()
    arguments = ["--root", "/run/runc", "--log-format", "json", command, *flags, "--pid-file", "pid", "web"]
    assert host.run(*arguments) == arguments
    assert host.has_changed == (True, False)


@pytest.mark.parametrize("command", ["create", "run"])
def test_bundle_is_the_working_directory_unless_it_is_named(host: Host, command: str) -> None:
    assert host.run(command, "web", folder=host.bundle) == [command, "web"]
    assert host.has_changed == (True, False)


@pytest.mark.parametrize("style", ["--process {}", "-p {}", "--process={}", "-p={}"])
def test_new_process_loses_the_capability(host: Host, style: str) -> None:
    arguments = ["--root", "/run/runc", "exec", *style.format(host.process).split(), "--detach", "web"]
    assert host.run(*arguments) == arguments
    assert host.has_changed == (False, True)


def test_process_without_a_document_is_forwarded(host: Host) -> None:
    assert host.run("exec", "web", "sh", "-c", "true") == ["exec", "web", "sh", "-c", "true"]
    assert host.has_changed == (False, False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--version"],
        ["features"],
        ["state", "web"],
        ["start", "web"],
        ["kill", "web", "KILL"],
        ["delete", "--force", "web"],
        ["--root", "/run/runc", "--systemd-cgroup", "ps", "--format", "json", "web"],
        ["update", "--resources", "-", "web"],
    ],
)
def test_other_commands_are_forwarded(host: Host, arguments: list[str]) -> None:
    assert host.run(*arguments, folder=host.bundle) == arguments
    assert host.has_changed == (False, False)


@pytest.mark.parametrize("name", ["run", "create", "exec"])
def test_name_of_a_container_is_not_treated_as_a_command(host: Host, name: str) -> None:
    assert host.run("state", name, folder=host.bundle) == ["state", name]
    assert host.has_changed == (False, False)


@pytest.mark.parametrize("command", ["run", "create"])
def test_executed_program_is_not_treated_as_a_command(host: Host, command: str) -> None:
    arguments = ["exec", "--process", str(host.process), command]
    assert host.run(*arguments, folder=host.bundle) == arguments
    assert host.has_changed == (False, True)


def test_arguments_reach_runc_unchanged(host: Host) -> None:
    arguments = ["kill", "", "a b", "*", "$HOME", "é", "--", "-x"]
    assert host.run(*arguments) == arguments


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"capabilities": None},
        {"capabilities": {}},
        {"capabilities": {"bounding": []}},
        {"capabilities": {"bounding": ["CAP_SYS_RESOURCES", "CAP_SYS"]}},
    ],
)
def test_process_without_the_capability_is_unchanged(runtime: ModuleType, document: dict[str, Any]) -> None:
    before = json.dumps(document)
    runtime.drop(document)
    assert json.dumps(document) == before
