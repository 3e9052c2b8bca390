"""Launcher of the role django, with projects that start their commands in different ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support_release import Launched

# Tells in which program, with which settings, and with which arguments it runs.
SCRIPT = """\
import json, sys
from django.apps import apps
from django.conf import settings
print(json.dumps([settings.ROOT_URLCONF, apps.ready, sys.argv[1:], sys.path[0], sys.executable, __name__]))
"""
# Starts Django with settings of its own, as nautobot-server does.
MAIN = """\
import os, sys
def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    from django.core.management import execute_from_command_line
    try:
        execute_from_command_line(sys.argv)
    except Exception:
        sys.exit("handled by the project")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a project as its tutorial does, with a package that starts it too."""
    place = tmp_path / "app"
    place.mkdir()
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", str(place)], check=True)
    (place / "shop" / "cli.py").write_text(MAIN)
    (place / "shop" / "__main__.py").write_text("from shop.cli import main\nmain()\n")
    return place


@pytest.fixture
def probe(tmp_path: Path) -> Launched:
    """Return a script that prints how it runs."""
    (tmp_path / "probe.py").write_text(SCRIPT)
    return Launched(tmp_path / "launcher", tmp_path / "probe.py")


def scripted(place: Path, name: str, *first: str) -> str:
    """Create a console script, and return the search path with its directory."""
    (place / "bin").mkdir(exist_ok=True)
    path = place / "bin" / name
    content = f"import sys\nsys.path.insert(0, '{place}')\nfrom shop.cli import main\nsys.exit(main())\n"
    path.write_text("\n".join([*first, content]))
    path.chmod(0o755)
    return f"{path.parent}{os.pathsep}{os.environ['PATH']}"


def seen(done: subprocess.CompletedProcess[str]) -> tuple[list[str], str, str]:
    """Return the arguments, the first directory of modules, and the Python of a script that ran."""
    assert done.returncode == 0, done.stdout + done.stderr
    urls, is_ready, arguments, directory, python, name = json.loads(done.stdout.splitlines()[-1])
    assert (urls, is_ready, name) == ("shop.urls", True, "__main__")
    return arguments, directory, python


@pytest.mark.parametrize("manage", [["python", "manage.py"], ["python", "-W", "ignore", "manage.py"], ["./manage.py"]])
def test_manage_py(probe: Launched, project: Path, manage: list[str]) -> None:
    arguments, directory, _ = seen(probe.run(manage, project))
    assert arguments == ["check"]
    assert directory == str(project)


def test_a_package(probe: Launched, project: Path) -> None:
    arguments, directory, _ = seen(probe.run(["python", "-m", "shop"], project))
    assert (arguments, directory) == (["check"], str(project))


@pytest.mark.parametrize(
    "first",
    [
        [f"#!{sys.executable}"],
        ["#!/usr/bin/env python3"],
        ["#!/bin/sh", f'\'\'\'exec\' "{sys.executable}" "$0" "$@"', "' '''"],
    ],
)
def test_a_console_script(probe: Launched, project: Path, first: list[str]) -> None:
    path = scripted(project, "shop-server", *first)
    arguments, directory, _ = seen(probe.run(["shop-server", "--config=x"], project / "bin", PATH=path))
    assert arguments == ["--config=x", "check"]
    assert directory == str(project)


def test_a_console_script_of_another_python(probe: Launched, project: Path, tmp_path: Path) -> None:
    """The Python on PATH has no Django, but the one of the script has."""
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    path = scripted(project, "shop-server", f"#!{sys.executable}")
    bare = str(other / "bin" / "python")
    _, _, python = seen(probe.run(["shop-server"], project, python=bare, PATH=path))
    assert python == sys.executable


def test_a_script_with_a_relative_interpreter(probe: Launched, project: Path) -> None:
    path = scripted(
        project,
        "shop-server",
        "#!/bin/sh",
        '\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/\'python\' "$0" "$@"',
        "' '''",
    )
    (project / "bin" / "python").symlink_to(sys.executable)
    # Without the environment of sys.executable, so only the choice of the interpreter is tested.
    done = probe.run(["shop-server"], project, PATH=path, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    assert seen(done)[2] == str(project / "bin" / "python")


def test_a_program_that_starts_python(probe: Launched, project: Path) -> None:
    seen(probe.run(["env", "A=b", "python", "manage.py"], project))


def test_settings_of_the_command(probe: Launched, project: Path) -> None:
    (project / "other.py").write_text("from shop.settings import *\n")
    done = probe.run(["python", "manage.py", "--settings=other"], project, DJANGO_SETTINGS_MODULE="none")
    assert seen(done)[0] == ["--settings=other", "check"]


def test_the_names_of_commands_are_those_that_projects_know(project: Path, tmp_path: Path) -> None:
    for stem, name in {"migrate": "migrate", "superuser": "createsuperuser"}.items():
        (tmp_path / f"{stem}.py").write_text(SCRIPT)
        done = Launched(tmp_path / stem, tmp_path / f"{stem}.py").run(["python", "manage.py"], project)
        assert seen(done)[0] == [name]


FAILURES = {
    "no program": ([], "django_manage is empty"),
    "no file": (["python", "none.py"], "none.py of django_manage is not in the directory "),
    "no module": (["python", "-m", "none"], "The module none of django_manage is not in the image"),
    "not on PATH": (["none-server"], "The program none-server of django_manage is not in the image"),
    "not Python": (["ls"], "The program ls of django_manage is not written in Python"),
    "only Python": (["python"], "django_manage (python) names no program"),
    "no command": (["python", "-m", "this"], "django_manage (python -m this) ended before Django ran a command"),
}


@pytest.mark.parametrize(("manage", "words"), FAILURES.values(), ids=list(FAILURES))
def test_a_command_that_starts_no_project(probe: Launched, project: Path, manage: list[str], words: str) -> None:
    done = probe.run(manage, project)
    assert done.returncode == 1
    assert probe.sentence().startswith(words)
    assert done.stderr.rstrip().endswith(probe.sentence())


def test_a_python_without_django(probe: Launched, project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    done = probe.run([str(other / "bin" / "python"), "manage.py"], project)
    assert done.returncode == 1
    assert probe.sentence().startswith(f"Django is not installed for {other}")


def test_settings_that_fail(probe: Launched, project: Path) -> None:
    (project / "shop" / "settings.py").write_text(
        "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('Set SHOP_KEY.')\n"
    )
    done = probe.run(["python", "manage.py"], project)
    assert done.returncode == 1
    assert probe.sentence().startswith("The project does not start: ImproperlyConfigured: Set SHOP_KEY. Correct ")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("line", "status"), [("raise ValueError('hunter2')", 1), ("sys.exit(3)", 3), ("sys.exit()", 0)]
)
def test_the_status_of_a_script_is_kept(project: Path, tmp_path: Path, line: str, status: int) -> None:
    """Also if the project handles exceptions of its commands."""
    (tmp_path / "probe.py").write_text(f"import sys\n{line}\n")
    script = Launched(tmp_path / "launcher", tmp_path / "probe.py")
    assert script.run(["python", "-m", "shop"], project).returncode == status
    if status == 1:
        # The message of any exception can hold a secret.
        assert script.sentence() == "The command ended with ValueError. Read its log and fix the cause."


def test_a_script_without_a_termination_log(project: Path, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("1 / 0\n")
    script = Launched(tmp_path / "launcher", tmp_path / "probe.py")
    command = script.command(["python", "manage.py"])
    script.log.unlink()
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("The command ended with ZeroDivisionError. Read its log and fix the cause.\n")
    assert not script.log.exists()
