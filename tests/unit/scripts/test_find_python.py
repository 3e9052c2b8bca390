"""The search for a Python that the tools run on; small shell scripts stand in for the Pythons of a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "find_python"
# The script itself needs it.
BASH = Path(shutil.which("bash") or "/bin/bash")

WORKS = "exit 0"
# As pyenv's, for a release that is installed but not chosen.
SHIM = 'echo "pyenv: ${0##*/}: command not found" >&2; exit 127'
# As Debian's python3 without the package python3-venv.
WITHOUT_VENV = "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1"


class Found(NamedTuple):
    code: int
    path: str
    error: str


class Machine:
    """A PATH of nothing but bash and what a test installs, and a directory for pyenv."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "bin"
        self.pyenv = root / "pyenv"
        self.home = root / "home"
        for directory in (self.bin, self.pyenv, self.home):
            directory.mkdir()

    def install(self, name: str, script: str) -> None:
        """Put a program on PATH."""
        self._write(self.bin / name, script)

    def install_release(self, version: str, script: str) -> Path:
        """Put a release below pyenv's directory."""
        path = self.pyenv / "versions" / version / "bin" / "python"
        path.parent.mkdir(parents=True)
        self._write(path, script)
        return path

    def _write(self, path: Path, script: str) -> None:
        path.write_text(f"#!{BASH}\n{script}\n")
        path.chmod(0o755)

    def find(self, **environment: str) -> Found:
        done = subprocess.run(
            [BASH, SCRIPT],
            env={"PATH": str(self.bin), "HOME": str(self.home), "PYENV_ROOT": str(self.pyenv)} | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Found(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_newest_on_path_is_chosen(machine: Machine) -> None:
    for name in ("python3.14", "python3.13", "python3.12", "python3"):
        machine.install(name, WORKS)
    for name in ("python3.14", "python3.13", "python3.12", "python3"):
        assert machine.find() == Found(0, f"{name}\n", "")
        (machine.bin / name).unlink()


@pytest.mark.parametrize("script", [SHIM, WITHOUT_VENV])
def test_one_that_does_not_work_is_passed_over(machine: Machine, script: str) -> None:
    machine.install("python3.14", script)
    machine.install("python3.13", script)
    machine.install("python3.12", WORKS)
    assert machine.find() == Found(0, "python3.12\n", "")


def test_shims_lead_to_pyenvs_own_directory(machine: Machine) -> None:
    for name in ("python3.14", "python3.13", "python3.12", "python3"):
        machine.install(name, SHIM)
    path = machine.install_release("3.13.0", WORKS)
    assert machine.find() == Found(0, f"{path}\n", "")


def test_newest_below_pyenv_is_chosen(machine: Machine) -> None:
    machine.install_release("3.9.18", WORKS)
    machine.install_release("3.12.1", WORKS)
    machine.install_release("3.14.0", WITHOUT_VENV)
    path = machine.install_release("3.13.0", WORKS)
    assert machine.find() == Found(0, f"{path}\n", "")


def test_pyenv_is_looked_for_at_home(machine: Machine) -> None:
    (machine.home / ".pyenv").symlink_to(machine.pyenv)
    machine.install_release("3.12.1", WORKS)
    assert machine.find(PYENV_ROOT="") == Found(0, f"{machine.home}/.pyenv/versions/3.12.1/bin/python\n", "")


def test_directory_of_pyenv_can_have_a_space(machine: Machine) -> None:
    spaced = machine.pyenv.rename(machine.pyenv.with_name("py env"))
    machine.pyenv = spaced
    path = machine.install_release("3.12.1", WORKS)
    assert machine.find() == Found(0, f"{path}\n", "")


def test_missing_python_is_reported(machine: Machine) -> None:
    assert machine.find() == Found(
        1,
        "",
        f"Python 3.12 or later with venv is missing on PATH and below {machine.pyenv}. "
        "Install python3.12 and python3.12-venv (or later), then rerun the command.\n",
    )


def test_old_pythons_are_reported_in_the_same_way(machine: Machine) -> None:
    # An old Python exits with 1 itself.
    machine.install("python3", "exit 1")
    machine.install_release("3.11.7", WORKS)
    found = machine.find()
    assert (found.code, found.path) == (1, "")
    assert found.error.startswith("Python 3.12 or later with venv is missing")
    assert found.error.count("\n") == 1


def test_real_python_answers_for_its_version_and_modules(machine: Machine) -> None:
    """The stand-ins ignore the check; here, the Python that runs the tests executes it."""
    machine.install("python3.12", 'printf "%s\\n" "$@" > "$HOME/question"; exit 1')
    machine.find()
    flag, question = (machine.home / "question").read_text().splitlines()
    assert flag == "-c"
    for setup, code in (
        ("sys.version_info = (3, 11, 9)", 1),
        ("sys.version_info = (3, 12, 0)", 0),
        ("sys.version_info = (3, 14, 0)", 0),
        ("sys.modules['ensurepip'] = None", 1),
        ("sys.modules['ssl'] = None", 1),
        ("sys.modules['venv'] = None", 1),
    ):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; {setup}; {question}"], capture_output=True, check=False
        )
        assert done.returncode == code, setup


def test_script_can_be_run_as_it_is() -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/usr/bin/env bash\n")
