"""The commands of the Makefile in a checkout with recording programs in the place of Ansible and Python."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import PIN, REPIN

PROJECT = Path(__file__).parents[3]
# Variables of the environment of these tests that would change a command.
IGNORED = ("ANSIBLE_", "CLOUD_DJANGO_", "INVENTORY", "MAKE", "MFLAGS")
# Writes its arguments and its environment to a file, and exits with the status in EXIT.
RECORDER = f"""#!{sys.executable}
import json, os, sys
with open("{{record}}", "w") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
sys.exit(int(os.environ.get("EXIT", 0)))
"""


class Made(NamedTuple):
    code: int
    output: str
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
        without = {name: value for name, value in os.environ.items() if not name.startswith(IGNORED)}
        done = subprocess.run(
            ["make", *arguments], cwd=self.root, env=without | environment, capture_output=True, text=True, timeout=30
        )
        recorded = json.loads(self.record.read_text(encoding="utf-8")) if self.record.exists() else (None, {})
        return Made(done.returncode, done.stdout, done.stderr, *recorded)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


COMMANDS = ["adopt", "up", "down", "scale", "url", "password", "pin", "bench", "prove"]


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


@pytest.mark.parametrize("name", ["a path with a space", "it's", 'a "quoted" one', "$HOME", "a;b", "{{ 1 + 1 }}"])
def test_a_project_to_adopt_may_have_any_name(checkout: Checkout, name: str) -> None:
    made = checkout.make("adopt", f"PROJECT=/home/me/{name.replace('$', '$$')}", "SITE=shop")
    assert (made.code, made.arguments) == (0, [f"--inventory={checkout.root}/inventory/kind", "playbooks/adopt.yml"])
    assert (made.environment["PROJECT"], made.environment["SITE"]) == (f"/home/me/{name}", "shop")


def test_adopt_does_not_remember_its_inventory(checkout: Checkout) -> None:
    made = checkout.make("adopt", "PROJECT=/home/me/shop", "INVENTORY=inventory/mirrors", "ARGS=--check --diff")
    assert made.arguments == ["--inventory=inventory/mirrors", "playbooks/adopt.yml", "--check", "--diff"]
    assert checkout.choice.read_text() == "kind\n"


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


def test_up_remembers_its_inventory(checkout: Checkout) -> None:
    mine = checkout.inventory(checkout.root / "elsewhere" / "mine")
    assert checkout.make("url", f"INVENTORY={mine}").code == 0
    assert checkout.choice.read_text() == "kind\n"
    # Even if it fails, because it may have created a cluster.
    assert checkout.make("up", "INVENTORY=inventory/mirrors", EXIT="2").code == 2
    assert checkout.make("url").arguments == [f"--inventory={checkout.root}/inventory/mirrors", "playbooks/url.yml"]
    assert checkout.make("up", f"INVENTORY={mine}").code == 0
    assert checkout.choice.read_text() == f"{mine}\n"
    assert checkout.make("up").arguments == [f"--inventory={mine}", "playbooks/site.yml"]


# It accepts shortened options, and several short ones in one word.
WITHOUT_CHANGES = [
    "--check",
    "--chec",
    "-C",
    "-DCv",
    "--list-tasks",
    "--list-ho",
    "--list-tags",
    "--syntax-check",
    "-h",
]
WITH_CHANGES = ["", "--tags web", "-t check", "--diff", "-e a=-C", "--limit controller", "--start-at-task Check", "-D"]


@pytest.mark.parametrize("arguments", [*WITHOUT_CHANGES, *WITH_CHANGES])
def test_up_remembers_the_inventory_of_a_run_that_can_change_something(checkout: Checkout, arguments: str) -> None:
    assert checkout.make("up", "INVENTORY=inventory/mirrors", f"ARGS={arguments}").code == 0
    assert checkout.choice.read_text() == ("mirrors\n" if arguments in WITH_CHANGES else "kind\n")


def test_options_that_change_nothing_are_those_of_ansible() -> None:
    program = Path(sys.executable).with_name("ansible-playbook")
    for option in WITHOUT_CHANGES:
        done = subprocess.run([program, option, "none.yml"], capture_output=True, text=True, cwd="/")
        assert "unrecognized arguments" not in done.stderr, option


def test_down_removes_no_site_of_a_remembered_inventory_of_the_user(checkout: Checkout) -> None:
    checkout.inventory(checkout.root / "inventory" / "production")
    checkout.make("up", "INVENTORY=inventory/production")
    made = checkout.make("down")
    assert (made.code, made.arguments) == (2, None)
    assert made.error.startswith(
        "make down removes the site of inventory/production and all of its data. No changes were made. "
        "To confirm, run: make down INVENTORY=inventory/production\n"
    )
    assert checkout.make("down", "INVENTORY=inventory/production").code == 0
    assert not checkout.choice.exists()


def test_bench_uses_no_remembered_inventory_of_the_user(checkout: Checkout) -> None:
    checkout.inventory(checkout.root / "inventory" / "production")
    checkout.make("up", "INVENTORY=inventory/production")
    made = checkout.make("bench")
    assert made.code == 2
    assert made.error.startswith("make bench deploys a site to the cluster of inventory/production")
    assert "Inventory: " not in made.output


def test_further_arguments_come_last(checkout: Checkout) -> None:
    made = checkout.make("up", "ARGS=--check --extra-vars 'a=b c=d'")
    assert made.arguments == [
        f"--inventory={checkout.root}/inventory/kind",
        "playbooks/site.yml",
        "--check",
        "--extra-vars",
        "a=b c=d",
    ]
    # Not those of another program.
    assert checkout.make("up", ARGS="-O2").arguments == made.arguments[:2]
    made = checkout.make("down", "ARGS=--check")
    assert made.arguments[-2:] == ["teardown_data=purge teardown_cluster=true", "--check"]
    assert checkout.choice.exists()


def test_the_command_that_replaces_a_pin_works_as_it_is_printed(checkout: Checkout) -> None:
    assert f"`{PIN}`" in REPIN
    made = checkout.make(*shlex.split(PIN)[1:])
    assert (made.code, made.arguments) == (
        0,
        [f"--inventory={checkout.root}/inventory/kind", "playbooks/pin.yml", "-e", "cluster_pin_replace=true"],
    )
    options = yaml.safe_load((PROJECT / "roles/cluster/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert "cluster_pin_replace" in options["argument_specs"]["main"]["options"]


def test_commands_print_steps_and_write_a_log(checkout: Checkout) -> None:
    made = checkout.make("up")
    assert made.environment["ANSIBLE_STDOUT_CALLBACK"] == "cloud_django.kubernetes.steps"
    assert made.environment["CLOUD_DJANGO_TITLE"] == "Inventory: inventory/kind"
    log = re.escape(f"{checkout.root}/.state/logs/up-")
    assert re.fullmatch(rf"{log}\d{{8}}-\d{{6}}-\d+\.log", made.environment["CLOUD_DJANGO_LOG"])
    assert made.output == ""


@pytest.mark.parametrize(("command", "title"), [("url", "Inventory: inventory/kind"), ("password", None)])
def test_answers_have_no_steps_and_no_log(checkout: Checkout, command: str, title: str | None) -> None:
    made = checkout.make(command)
    assert made.environment["CLOUD_DJANGO_ANSWER_ONLY"] == "true"
    assert made.environment.get("CLOUD_DJANGO_TITLE") == title
    assert "CLOUD_DJANGO_LOG" not in made.environment


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["V=1"], {}),
        (["ARGS=-vvv"], {}),
        (["ARGS=--step"], {}),
        ([], {"ANSIBLE_VERBOSITY": "1"}),
        ([], {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal"}),
    ],
)
def test_ansible_prints_its_own_output_if_the_user_wants_it(
    checkout: Checkout, arguments: list[str], environment: dict[str, str]
) -> None:
    made = checkout.make("up", *arguments, **environment)
    assert made.environment.get("ANSIBLE_STDOUT_CALLBACK") == environment.get("ANSIBLE_STDOUT_CALLBACK")
    assert made.output == "Inventory: inventory/kind\n"
    assert checkout.make("password", *arguments, **environment).output == ""


SECRET = "superuser_password=hunter2"


@pytest.mark.parametrize("option", ["-e", "--extra-vars", "--extra", "-De", "-e="])
def test_no_process_inherits_the_arguments_of_the_user(checkout: Checkout, option: str) -> None:
    made = checkout.make("up", f"ARGS={option} {SECRET}", "INVENTORY=inventory/kind")
    assert made.arguments
    assert made.arguments[-1] == SECRET
    assert [name for name, value in made.environment.items() if "hunter2" in value] == []
    assert "hunter2" not in made.output + made.error


# Ends as Ansible does after a signal, or is killed by it.
STOPS = "trap 'echo; exit 99' INT TERM; echo ready; while :; do sleep 0.1; done"
KILLED = "echo ready; exec sleep 30"
INTERRUPTED = {
    "Ctrl-C": (STOPS, signal.SIGINT),
    "Ctrl-C twice": (KILLED, signal.SIGINT),
    "SIGTERM to make": (STOPS, signal.SIGTERM),
    "SIGTERM to make before Ansible handles it": (KILLED, signal.SIGTERM),
    "SIGTERM to Ansible": ("exit 99", signal.SIGTERM),
}


@pytest.mark.parametrize("arguments", ["--tags web", f"--tags web -e {SECRET}", f"-ve{SECRET}", f"--ex={SECRET}"])
@pytest.mark.parametrize("case", INTERRUPTED)
def test_interrupted_command_ends_with_the_next_step(checkout: Checkout, case: str, arguments: str) -> None:
    work, number = INTERRUPTED[case]
    program = checkout.root / ".venv" / "bin" / "ansible-playbook"
    program.write_text(f"#!/bin/bash\n{work}\n", encoding="utf-8")
    process, terminal = pty.fork()
    if not process:
        os.chdir(checkout.root)
        without = {name: value for name, value in os.environ.items() if not name.startswith(IGNORED)}
        words = ["make", "scale", "REPLICAS=5", "INVENTORY=inventory/kind", f"ARGS={arguments}"]
        os.execvpe("make", words, without)
    output, limit, is_pressed = b"", time.monotonic() + 30, False
    while time.monotonic() < limit:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            output += os.read(terminal, 65536)
        except OSError:
            break
        if b"ready" in output and not is_pressed:
            is_pressed = True
            if number == signal.SIGINT:
                os.write(terminal, b"\x03")
            else:
                os.kill(process, number)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    lines = output.decode().splitlines()
    same = "" if arguments == "--tags web" else " this with the same ARGS, which can contain secrets"
    again = "make scale REPLICAS=5 INVENTORY=inventory/kind" + (f" ARGS={shlex.quote(arguments)}" if not same else "")
    assert (os.waitstatus_to_exitcode(status), lines[-1]) == (-number, f"To continue, run{same}: {again}")
    assert ("The run was interrupted." in lines) == (work == KILLED)
    assert "hunter2" not in output.decode()


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


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="it is no checkout")
def test_a_checkout_has_unix_line_ends_with_any_git_configuration(tmp_path: Path) -> None:
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
