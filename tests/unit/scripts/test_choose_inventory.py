"""The choice of an inventory, with a server on this machine in the place of the image registry."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[3]
SCRIPT = PROJECT / "scripts" / "choose_inventory"
REGISTRY = (401, {"Docker-Distribution-Api-Version": "registry/2.0"})
PORTAL = (200, {"Content-Type": "text/html"})
DOWNLOADS = (200, {})


@contextmanager
def answering(status: int, headers: dict[str, str]) -> Iterator[str]:
    """Serve one answer to everything; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html>Welcome</html>"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v2/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def registry() -> Iterator[str]:
    with answering(*REGISTRY) as address:
        yield address


@pytest.fixture
def portal() -> Iterator[str]:
    with answering(*PORTAL) as address:
        yield address


@pytest.fixture
def downloads() -> Iterator[str]:
    with answering(*DOWNLOADS) as address:
        yield address


@pytest.fixture
def nothing() -> Iterator[str]:
    """An address where nothing listens; the port is bound, so that no other process takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v2/"


class Choice(NamedTuple):
    code: int
    path: str
    reason: str


class Project:
    """A checkout with the script, inventories, and a directory of programs as the whole of PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inventory = root / "inventory"
        self.choice = root / ".state" / "inventory"
        self.bin = root / "bin"
        for directory in (
            root / "scripts",
            self.bin,
            *(self.inventory / name for name in ("minikube", "kind", "mirrors")),
        ):
            directory.mkdir(parents=True)
            if directory.parent == self.inventory:
                (directory / "hosts.yml").touch()
        self.script = Path(shutil.copy(SCRIPT, root / "scripts"))

    def install(self, program: str) -> None:
        (self.bin / program).touch(0o755)

    def choose(self, *arguments: str, registry: str = "", downloads: str = "") -> Choice:
        # No request is possible to an empty address, so that no test reaches beyond this machine.
        environment = {"PATH": str(self.bin), "CLOUD_DJANGO_REGISTRY": registry, "CLOUD_DJANGO_DOWNLOADS": downloads}
        done = subprocess.run(
            [sys.executable, self.script, *arguments],
            env=environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Choice(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def test_kind_is_chosen_where_a_registry_answers(project: Project, registry: str) -> None:
    project.install("kind")
    choice = project.choose(registry=registry)
    assert choice.code == 0
    assert choice.path == f"{project.inventory}/kind\n"
    assert choice.reason == (
        "Using inventory/kind: kind is installed and an image registry answers. "
        "(INVENTORY=inventory/... overrides this.)\n"
    )


def test_registry_without_authentication_is_one(project: Project) -> None:
    project.install("kind")
    with answering(200, REGISTRY[1]) as address:
        assert project.choose(registry=address).path == f"{project.inventory}/kind\n"


def test_minikube_may_be_downloaded(project: Project, registry: str, downloads: str) -> None:
    assert project.choose(registry=registry, downloads=downloads).path == f"{project.inventory}/minikube\n"


def test_mirrors_are_chosen_where_kind_cannot_be_had(project: Project, registry: str, nothing: str) -> None:
    choice = project.choose(registry=registry, downloads=nothing)
    assert choice.path == f"{project.inventory}/mirrors\n"
    assert (
        "minikube and kind are neither installed nor downloadable, so everything is built from package mirrors"
        in choice.reason
    )


def test_captive_portal_is_no_registry(project: Project, portal: str) -> None:
    project.install("kind")
    choice = project.choose(registry=portal)
    assert choice.path == f"{project.inventory}/mirrors\n"
    assert "no image registry answers, so everything is built from package mirrors" in choice.reason


def test_refusal_without_the_registrys_header_is_no_registry(project: Project) -> None:
    project.install("kind")
    with answering(403, {}) as address:
        assert project.choose(registry=address).path == f"{project.inventory}/mirrors\n"


def test_mirrors_are_chosen_where_nothing_listens(project: Project, nothing: str) -> None:
    project.install("kind")
    assert project.choose(registry=nothing, downloads=nothing).path == f"{project.inventory}/mirrors\n"


def test_server_that_speaks_something_else_is_no_registry(project: Project) -> None:
    project.install("kind")

    def greet(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            # Only after the question, so that the answer is read and no reset comes in its place.
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=greet, args=[server])
        thread.start()
        choice = project.choose(registry=f"http://127.0.0.1:{server.getsockname()[1]}/v2/")
        thread.join()
    assert choice.code == 0
    assert choice.path == f"{project.inventory}/mirrors\n"


@pytest.mark.parametrize("address", ["", "registry", "http://", "ftp://127.0.0.1:1/", "http://[::1/"])
def test_address_that_cannot_be_asked_is_no_registry(project: Project, address: str) -> None:
    project.install("kind")
    choice = project.choose(registry=address)
    assert choice.code == 0
    assert choice.path == f"{project.inventory}/mirrors\n"


def test_minikube_is_chosen_where_it_is_installed(project: Project, registry: str) -> None:
    project.install("kind")
    project.install("minikube")
    choice = project.choose(registry=registry)
    assert choice.path == f"{project.inventory}/minikube\n"
    assert "minikube is installed and an image registry answers" in choice.reason


def test_minikube_needs_a_registry(project: Project, nothing: str) -> None:
    project.install("minikube")
    assert project.choose(registry=nothing).path == f"{project.inventory}/mirrors\n"


def test_choice_is_remembered(project: Project, registry: str, nothing: str) -> None:
    project.install("kind")
    first = project.choose("--remember", registry=registry)
    second = project.choose(registry=nothing)
    assert second == Choice(0, first.path, "")
    assert project.choice.read_text() == "kind\n"


@pytest.mark.parametrize("arguments", [[], ["--confirm"], ["--confirm-bench"], ["inventory/kind"]])
def test_choice_of_a_command_that_deploys_nothing_is_not_remembered(
    project: Project, registry: str, arguments: list[str]
) -> None:
    project.install("kind")
    assert project.choose(*arguments, registry=registry).code == 0
    assert not project.choice.exists()


def test_choice_is_kept_from_others(project: Project, nothing: str) -> None:
    project.choose("--remember", registry=nothing)
    assert stat.S_IMODE(project.choice.parent.stat().st_mode) == 0o700


def test_choice_is_repeated_once_it_is_removed(project: Project, registry: str, nothing: str) -> None:
    project.install("kind")
    project.choose("--remember", registry=registry)
    project.choice.unlink()
    assert project.choose(registry=nothing).path == f"{project.inventory}/mirrors\n"


@pytest.mark.parametrize("remembered", ["staging\n", ""])
def test_missing_remembered_inventory_is_replaced(project: Project, registry: str, remembered: str) -> None:
    project.install("kind")
    project.choice.parent.mkdir()
    project.choice.write_text(remembered)
    assert project.choose("--remember", registry=registry).path == f"{project.inventory}/kind\n"
    assert project.choice.read_text() == "kind\n"


def test_given_inventory_wins_and_is_not_remembered(project: Project, registry: str) -> None:
    project.install("kind")
    project.choose("--remember", registry=registry)
    assert project.choose("inventory/mirrors") == Choice(0, "inventory/mirrors\n", "")
    assert project.choice.read_text() == "kind\n"


def test_given_inventory_may_be_anywhere(project: Project, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.touch()
    assert project.choose(str(hosts)) == Choice(0, f"{hosts}\n", "")
    assert not project.choice.exists()


def test_missing_given_inventory_is_reported(project: Project) -> None:
    assert project.choose("inventory/gone") == Choice(
        1, "", "Inventory inventory/gone does not exist: give a directory such as inventory/kind.\n"
    )


@pytest.mark.parametrize("arguments", [["inventory/kind"], []])
def test_inventory_with_both_forms_of_variables_is_refused(
    project: Project, registry: str, arguments: list[str]
) -> None:
    project.install("kind")
    directory = project.inventory / "kind" / "group_vars"
    (directory / "all").mkdir(parents=True)
    assert project.choose(*arguments, registry=registry).code == 0
    # The same is true of host_vars.
    hosts = project.inventory / "kind" / "host_vars"
    (hosts / "controller").mkdir(parents=True)
    (hosts / "controller.yml").touch()
    assert "host_vars/controller.yml, because" in project.choose(*arguments, registry=registry).reason
    (hosts / "controller.yml").unlink()
    (directory / "all.yml").touch()
    choice = project.choose(*arguments, registry=registry)
    inventory = arguments[0] if arguments else project.inventory / "kind"
    assert (choice.code, choice.path) == (1, "")
    assert choice.reason.endswith(
        f"Ansible ignores {inventory}/group_vars/all.yml, because a directory of the same name is beside it. "
        "No changes were made. Move its variables into the directory, remove the file, then rerun the command.\n",
    )


def test_script_can_be_run_as_it_is() -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")


def test_link_to_an_inventory_of_the_project_stands_for_it(project: Project, tmp_path: Path) -> None:
    (project.inventory / "kind" / "hosts.yml").touch()
    link = tmp_path / "link"
    link.symlink_to(project.inventory / "kind")
    assert project.choose(str(link)).path == f"{project.inventory}/kind\n"


def test_link_in_the_project_to_an_inventory_elsewhere_stays(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hosts.yml").touch()
    (project.inventory / "mine").symlink_to(tmp_path / "elsewhere")
    assert project.choose("inventory/mine").path == "inventory/mine\n"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (".", "contains the whole project"),
        ("..", "contains the whole project"),
        ("inventory", "has no hosts file"),
        ("scripts", "is a part of the project"),
        ("scripts/choose_inventory", "is a part of the project"),
    ],
)
def test_path_that_is_no_inventory_is_refused(project: Project, path: str, problem: str) -> None:
    choice = project.choose(path)
    assert choice == Choice(1, "", f"Inventory {path} {problem}: give a directory such as inventory/kind.\n")


def test_inventory_elsewhere_can_be_remembered(project: Project, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "hosts.yml").touch()
    assert project.choose("--remember", str(mine)).path == f"{mine}\n"
    assert project.choose() == Choice(0, f"{mine}\n", "")
    assert project.choose("--remember", "inventory/kind").path == "inventory/kind\n"
    assert project.choice.read_text() == "kind\n"
    assert project.choose("--remember", "inventory/gone").code == 1
    assert project.choice.read_text() == "kind\n"


def test_link_to_an_inventory_elsewhere_is_remembered_as_it_is(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hosts.yml").touch()
    (project.inventory / "mine").symlink_to(tmp_path / "elsewhere")
    project.choose("--remember", "inventory/mine")
    assert project.choice.read_text() == "mine\n"
    assert project.choose().path == f"{project.inventory}/mine\n"


@pytest.mark.parametrize("name", ["minikube", "kind", "mirrors"])
def test_local_inventories_need_no_confirmation(project: Project, name: str) -> None:
    project.choose("--remember", f"inventory/{name}")
    assert project.choose("--confirm").path == f"{project.inventory}/{name}\n"


@pytest.mark.parametrize(("option", "command"), [("--confirm", "make down"), ("--confirm-bench", "make bench")])
def test_other_remembered_inventories_need_a_confirmation(project: Project, option: str, command: str) -> None:
    (project.inventory / "production").mkdir()
    (project.inventory / "production" / "hosts.yml").touch()
    project.choose("--remember", "inventory/production")
    choice = project.choose(option)
    assert (choice.code, choice.path) == (1, "")
    assert choice.reason.endswith(f"To confirm, run: {command} INVENTORY=inventory/production\n")
    assert project.choose(option, "inventory/production").code == 0
    shutil.rmtree(project.inventory / "production")
    # A selected one would lead to another cluster.
    assert project.choose(option) == Choice(
        1,
        "",
        "Inventory inventory/production, the one of the last make up, does not exist. No changes were made. "
        f"Restore it, or run: {command} INVENTORY=inventory/NAME\n",
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Project:
    """A checkout with Ansible, its configuration, and an inventory with variables."""
    project = Project(tmp_path / "checkout")
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    shutil.copy(PROJECT / "ansible.cfg", project.root)
    folder = project.inventory / "kind"
    (folder / "hosts.yml").write_text(
        "cloud_django: {hosts: {controller: {ansible_connection: local, own: '{{ inventory_dir }}'}}}\n"
    )
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "group_vars" / "all" / "main.yml").write_text("number: 5\ncontext: '{{ inventory_dir | dirname }}'\n")
    (folder / "group_vars" / "cloud_django.yml").write_text("number: 6\nempty:\nflag: true\n")
    message = "{{ [own, context, number, empty, flag, groups.cloud_django] }}"
    (project.root / "play.yml").write_text(
        f"[{{hosts: all, gather_facts: false, tasks: [{{debug: {{msg: '{message}'}}}}]}}]"
    )
    return project


def play(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the play with Ansible, as a user does in a checkout."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "play.yml", *arguments],
        cwd=project.root,
        env=own | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ansible_uses_the_remembered_inventory(checkout: Project) -> None:
    checkout.choose("--remember", "inventory/kind")
    done, expected = play(checkout), play(checkout, "--inventory=inventory/kind")
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected.stdout
    assert f'"{checkout.inventory}/kind"' in done.stdout
    assert done.stderr == expected.stderr


def test_ansible_has_no_host_without_a_remembered_inventory(checkout: Project) -> None:
    done = play(checkout)
    assert "No inventory is selected. Run `make up`, or add --inventory inventory/kind." in done.stderr
    assert "DEPRECATION" not in done.stderr
    assert done.returncode != 0 or "skipping: no hosts matched" in done.stdout
    assert "msg" not in done.stdout
    assert not checkout.choice.exists()


def test_ansible_has_no_host_of_an_inventory_that_it_cannot_read(checkout: Project) -> None:
    checkout.choose("--remember", "inventory/kind")
    (checkout.inventory / "kind" / "group_vars" / "all" / "main.yml").write_text("a: [")
    done = play(checkout)
    assert f"Inventory {checkout.inventory}/kind can't be read. Correct it" in done.stderr
    assert "msg" not in done.stdout
