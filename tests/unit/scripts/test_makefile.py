"""The commands of the Makefile in a checkout with recording programs in the place of Ansible and Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROJECT = Path(__file__).parents[3]
# Writes its arguments and its environment to a file, and exits with the status in EXIT.
RECORDER = f"""#!{sys.executable}
import json, os, sys
with open("{{record}}", "w") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
sys.exit(int(os.environ.get("EXIT", 0)))
"""


class Made(NamedTuple):
    code: int
    error: str
    # Of the program that was run; None if there was none.
    arguments: list[str] | None
    environment: dict[str, str]


class Checkout:
    """A checkout whose programs record how they were called."""

    def __init__(self, root: Path) -> None:
        self.root, self.record = root, root / "record.json"
        self.choice = root / ".state" / "inventory"
        for name in ("kind", "mirrors"):
            self.inventory(root / "inventory" / name)
        programs = root / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name in ("ansible-playbook", "python"):
            (programs / name).write_text(RECORDER.format(record=self.record), encoding="utf-8")
            (programs / name).chmod(0o755)
        shutil.copytree(PROJECT / "scripts", root / "scripts")
        for name in ("Makefile", "requirements.txt", "ansible.cfg"):
            shutil.copy(PROJECT / name, root)
        (root / ".venv" / "complete").touch()
        self.remember("kind")

    def inventory(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "hosts.yml").touch()
        return folder

    def remember(self, name: str) -> None:
        self.choice.parent.mkdir(exist_ok=True)
        self.choice.write_text(f"{name}\n", encoding="utf-8")

    def make(self, *arguments: str, **environment: Any) -> Made:
        self.record.unlink(missing_ok=True)
        without = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAKE"))}
        done = subprocess.run(
            ["make", *arguments], cwd=self.root, env=without | environment, capture_output=True, text=True, timeout=30
        )
        recorded = json.loads(self.record.read_text(encoding="utf-8")) if self.record.exists() else (None, {})
        return Made(done.returncode, done.stderr, *recorded)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


COMMANDS = ["up", "down", "scale", "url", "password", "pin", "bench", "prove"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("inventory", ["inventory/mymin", ".", "inventory", "/", "inventory/empty"])
def test_nothing_runs_without_an_inventory(checkout: Checkout, command: str, inventory: str) -> None:
    (checkout.root / "inventory" / "empty").mkdir()
    made = checkout.make(command, f"INVENTORY={inventory}")
    assert made.code != 0
    assert made.arguments is None
    assert f"Inventory {inventory} " in made.error
    assert checkout.choice.read_text() == "kind\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_runs_if_the_choice_prints_nothing(checkout: Checkout, command: str) -> None:
    (checkout.root / "scripts" / "choose_inventory").write_text("#!/bin/sh\n", encoding="utf-8")
    made = checkout.make(command)
    assert made.code != 0
    assert made.arguments is None


@pytest.mark.parametrize("name", ["a path with a space", "it's", 'a "quoted" one', "-x", "$HOME", "a;b"])
def test_an_inventory_may_have_any_name(checkout: Checkout, name: str) -> None:
    folder = checkout.inventory(checkout.root / name)
    made = checkout.make("url", f"INVENTORY={name.replace('$', '$$')}")
    assert (made.code, made.arguments) == (0, [f"--inventory={folder.name}", "playbooks/url.yml"])


def test_an_inventory_may_come_from_the_environment(checkout: Checkout) -> None:
    made = checkout.make("url", INVENTORY="inventory/mirrors")
    assert made.arguments == ["--inventory=inventory/mirrors", "playbooks/url.yml"]


@pytest.mark.parametrize("inventory", ["", "inventory/kind"])
def test_the_choice_is_forgotten_once_its_cluster_is_removed(checkout: Checkout, inventory: str) -> None:
    assert checkout.make("down", f"INVENTORY={inventory}").code == 0
    assert not checkout.choice.exists()


@pytest.mark.parametrize(("inventory", "status"), [("inventory/mirrors", "0"), ("inventory/kind", "2")])
def test_the_choice_stays_if_another_cluster_is_removed_or_none(
    checkout: Checkout, inventory: str, status: str
) -> None:
    assert bool(checkout.make("down", f"INVENTORY={inventory}", EXIT=status).code) == (status != "0")
    assert checkout.choice.read_text() == "kind\n"


CHANGES_MEANING = {
    "ANSIBLE_COLLECTIONS_PATH": "/foreign",
    "ANSIBLE_HASH_BEHAVIOUR": "merge",
    "ANSIBLE_BECOME": "true",
    "ANSIBLE_INVENTORY": "/foreign",
    "ANSIBLE_RUN_TAGS": "none",
    "ANSIBLE_PYTHON_INTERPRETER": "/foreign/python",
    "ANSIBLE_LIBRARY": "/foreign",
}
QUIET = {
    "PYTHONPATH": "/foreign",
    "PYTHONHOME": "/foreign",
    "PYTHONOPTIMIZE": "2",
    "DOCKER_DEFAULT_PLATFORM": "linux/s390x",
    "KIND_EXPERIMENTAL_PROVIDER": "podman",
    "CDPATH": "/foreign",
    "BASH_ENV": "/foreign",
}
STAYS = {
    "ANSIBLE_VAULT_PASSWORD_FILE": "/vault",
    "ANSIBLE_BECOME_PASSWORD_FILE": "/become",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_VERBOSITY": "2",
    "DOCKER_HOST": "unix:///docker.sock",
    "https_proxy": "http://proxy.example.org:3128",
}


def test_variables_that_change_the_meaning_of_a_command_are_left_out(checkout: Checkout) -> None:
    # The recorder runs on Python too, so that the foreign one must not reach it.
    made = checkout.make("url", **CHANGES_MEANING, **QUIET, **STAYS, ANSIBLE_CONFIG="/foreign/ansible.cfg")
    assert made.code == 0
    assert not (CHANGES_MEANING | QUIET).keys() & made.environment.keys()
    assert STAYS.items() <= made.environment.items()
    assert made.environment["ANSIBLE_CONFIG"] == str(checkout.root / "ansible.cfg")
    named = made.error.partition("make ignores ")[2].partition(" of the environment")[0].split()
    assert set(named) == CHANGES_MEANING.keys() | {"ANSIBLE_CONFIG"}


def test_make_reports_nothing_of_an_ordinary_environment(checkout: Checkout) -> None:
    assert checkout.make("url", **STAYS).error == ""


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.UTF-8", ""])
def test_ansible_starts_in_utf8_whatever_the_locale(checkout: Checkout, locale: str) -> None:
    made = checkout.make("url", LC_ALL=locale, LANG="C")
    assert made.environment["LC_ALL"].upper().replace("-", "").endswith(".UTF8")
    assert made.environment["LC_ALL"].lower() in subprocess.run(
        ["locale", "-a"], capture_output=True, text=True, check=True
    ).stdout.lower().replace("utf-8", "utf8")


def test_collections_of_the_tools_come_before_those_of_the_user() -> None:
    path = subprocess.run(
        [Path(sys.executable).with_name("ansible-config"), "dump", "--only-changed", "--format=json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"},
    ).stdout
    value = next(entry["value"] for entry in json.loads(path) if entry.get("name") == "COLLECTIONS_PATHS")
    assert value[0] == str(PROJECT / ".venv" / "collections")
    assert 'ln -sfn "$site_packages" .venv/collections' in (PROJECT / "scripts" / "make_venv").read_text()


def test_a_checkout_has_unix_line_ends_whatever_git_is_told(tmp_path: Path) -> None:
    git = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "user.name=a", "-c", "user.email=a@b"]
    scripts = ["scripts/make_venv", "Dockerfile", "Makefile", "scripts/choose_inventory"]
    source = tmp_path / "source"
    source.mkdir()
    for name in (*scripts, ".gitattributes"):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, source / name)
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=a"]):
        subprocess.run([*git, *arguments], cwd=source, check=True, capture_output=True)
    subprocess.run([*git, "clone", "--quiet", source, tmp_path / "clone"], check=True, capture_output=True)
    assert not [name for name in scripts if b"\r" in (tmp_path / "clone" / name).read_bytes()]
