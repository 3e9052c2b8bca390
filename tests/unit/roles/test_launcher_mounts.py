"""Errors of the launcher if a directory of `django_writable` hides the project in the image."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rendering import PROJECT

HIDES = " from django_writable or django_volumes, because it hides files of the image."


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the launcher, with an empty working directory that is no mount."""
    monkeypatch.setitem(sys.modules, "cloud_django_launch", None)
    spec = importlib.util.spec_from_file_location("launch", PROJECT / "roles" / "django" / "files" / "launch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "launch", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == "/")
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "site")
    return module


def error_of(launcher: ModuleType, *program: str) -> str:
    with pytest.raises(launcher.Refusal) as caught:
        launcher.start(list(program), "check")
    return str(caught.value)


def test_missing_program_is_reported(launcher: ModuleType) -> None:
    reason = f"manage.py of django_manage is not in the directory {Path.cwd()} of the image"
    assert error_of(launcher, "manage.py") == f"{reason}. Correct django_manage."
    assert error_of(launcher, "-m", "no_shop.main") == (
        "The module no_shop.main of django_manage is not in the image. Correct django_manage."
    )


@pytest.mark.parametrize("program", [("manage.py",), ("-m", "no_shop")])
def test_directory_that_hides_the_project_is_reported(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, program: tuple[str, ...]
) -> None:
    """It is the working directory of the image, or one above it. Rules know only the usual ones."""
    for mount in (Path.cwd(), Path.cwd().parent):
        monkeypatch.setattr(os.path, "ismount", lambda path, mount=mount: Path(path) in (mount, Path("/")))
        assert error_of(launcher, *program).endswith(f". Correct django_manage, or remove {mount}{HIDES}")


def test_program_with_a_path_is_looked_for_there(launcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) in (Path.cwd(), Path("/")))
    assert error_of(launcher, "/missing/site/manage.py") == (
        "manage.py of django_manage is not in the directory /missing/site of the image. Correct django_manage."
    )
