"""Output of docker commands from the socket of the container engine, or else from the commands."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import LIST_ENGINE, kind_containers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine import docker
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.docker import Docker, socket_of

CONTAINER = {"Id": "0123456789abcdef", "State": "running", "Names": ["/kind-control-plane"]}
EXEC_START = b"\1\0\0\0\0\0\0\3one\2\0\0\0\0\0\0\5error\1\0\0\0\0\0\0\4 two"
ANSWERS: dict[str, object] = {
    "/images/json": [{"Id": "sha256:1"}, {"Id": "sha256:2"}],
    "/containers/json": [CONTAINER],
    "/images/localhost/polls:1/json": {"Id": "sha256:1"},
    "/containers/kind-control-plane/json": CONTAINER,
    "/containers/kind-control-plane/archive": "tar é".encode(),
    "/containers/kind-control-plane/exec": {"Id": "e"},
    "/exec/e/start": EXEC_START,
    "/exec/e/json": {"ExitCode": 0},
}
COMMANDS = [
    (LIST_ENGINE, "sha256:1\nsha256:2\n"),
    (kind_containers("kind"), "0123456789ab running kind-control-plane\n"),
    (["docker", "image", "inspect", "localhost/polls:1"], '[{"Id": "sha256:1"}]'),
    (["docker", "container", "inspect", "kind-control-plane"], json.dumps([CONTAINER])),
    (["docker", "cp", "kind-control-plane:/etc/a file", "-"], "tar é"),
    (["docker", "exec", "kind-control-plane", "sh", "-c", "true"], "one two"),
]


class Engine(socketserver.ThreadingUnixStreamServer):
    """Container engine that returns the answers, and records the requests."""

    def __init__(self, path: str) -> None:
        self.answers = dict(ANSWERS)
        self.asked: list[str] = []
        super().__init__(path, Handler)

    def handle_error(self, *_: object) -> None:
        """Print nothing about a disconnected client."""


class Handler(BaseHTTPRequestHandler):
    """One request to the container engine."""

    server: Engine

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.asked.append(f"{self.path} {body}".strip())
        answer = self.server.answers.get(urlsplit(self.path).path)
        self.send_response(404 if answer is None else 200 if self.command == "GET" else 201, "as tested")
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    do_POST = do_GET

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(docker.shutil, "which", lambda name: f"/usr/bin/{name}")
    with Engine(str(tmp_path / "socket")) as engine:
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        yield engine
        engine.shutdown()


def run(argv: list[str]) -> tuple[int, str, str]:
    return 9, "", f"the command ran: {argv[1]}"


@pytest.fixture
def asked(engine: Engine) -> Docker:
    folder = str(Path(engine.server_address).parent)
    return Docker(run, {"DOCKER_HOST": f"unix://{engine.server_address}", "DOCKER_CONFIG": folder})


@pytest.mark.parametrize(("argv", "printed"), COMMANDS)
def test_the_answer_is_the_output_of_the_command(asked: Docker, argv: list[str], printed: str) -> None:
    assert asked(argv) == (0, printed, "")


def test_lists_are_filtered_by_label(asked: Docker, engine: Engine) -> None:
    asked(LIST_ENGINE)
    asked(kind_containers("kind"))
    images, containers = (parse_qs(urlsplit(path).query) for path in engine.asked)
    assert images == {"filters": ['{"label": ["cloud-django.context"]}']}
    assert containers == {"all": ["1"], "filters": ['{"label": ["io.x-k8s.kind.cluster=kind"]}']}


def test_files_and_commands_are_those_of_the_arguments(asked: Docker, engine: Engine) -> None:
    asked(["docker", "cp", "kind-control-plane:/etc/a file", "-"])
    asked(["docker", "exec", "kind-control-plane", "sh", "-c", "true"])
    assert parse_qs(urlsplit(engine.asked[0]).query) == {"path": ["/etc/a file"]}
    assert json.loads(engine.asked[1].split(" ", 1)[1])["Cmd"] == ["sh", "-c", "true"]


@pytest.mark.parametrize("path", ANSWERS)
def test_a_rejected_request_runs_the_command(asked: Docker, engine: Engine, path: str) -> None:
    del engine.answers[path]
    codes = [asked(argv)[0] for argv, _ in COMMANDS]
    assert codes.count(9) == 1


def test_a_failing_command_in_a_container_runs_again_for_its_error(asked: Docker, engine: Engine) -> None:
    engine.answers["/exec/e/json"] = {"ExitCode": 1}
    assert asked(["docker", "exec", "kind-control-plane", "false"]) == (9, "", "the command ran: exec")


@pytest.mark.parametrize(
    "argv",
    [["docker", "rm", "x"], ["docker", "container", "ls"], ["kubectl", "cp", "a:b", "-"], ["docker", "cp", "-", "a:b"]],
)
def test_other_commands_run(asked: Docker, engine: Engine, argv: list[str]) -> None:
    assert asked(argv)[0] == 9
    assert not engine.asked


def test_an_incomplete_answer_runs_the_command(asked: Docker, engine: Engine) -> None:
    engine.answers["/images/json"] = b'[{"Id": "sha'
    assert asked(LIST_ENGINE)[0] == 9


def test_the_check_of_a_plugin_runs_the_command(asked: Docker, engine: Engine) -> None:
    """The plugin may exist and be broken."""
    assert asked(["docker", "buildx", "version"])[0] == 9
    assert not engine.asked


def test_a_control_node_without_the_command_has_no_container_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker.shutil, "which", lambda _: None)
    assert Docker(run, {"DOCKER_HOST": f"unix://{engine.server_address}"})(LIST_ENGINE)[0] == 9


def test_an_unavailable_socket_runs_the_command(tmp_path: Path, engine: Engine) -> None:
    assert Docker(run, {"DOCKER_HOST": f"unix://{tmp_path}/none"})(LIST_ENGINE)[0] == 9


@pytest.mark.parametrize(
    ("environment", "configuration", "found"),
    [
        ({}, None, docker.SOCKET),
        ({}, "{}", docker.SOCKET),
        ({}, '{"currentContext": "default"}', docker.SOCKET),
        ({}, '{"currentContext": "remote"}', ""),
        ({}, "[", ""),
        ({}, "[]", ""),
        ({"DOCKER_CONTEXT": "remote"}, None, ""),
        ({"DOCKER_CONTEXT": "default"}, '{"currentContext": "remote"}', docker.SOCKET),
        (
            {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"},
            '{"currentContext": "remote"}',
            "/run/user/1000/docker.sock",
        ),
        ({"DOCKER_HOST": "ssh://host"}, None, ""),
        ({"DOCKER_HOST": "tcp://host:2376", "DOCKER_CONTEXT": "default"}, None, ""),
    ],
)
def test_the_socket_is_the_one_that_the_command_uses(
    environment: dict[str, str], configuration: str | None, found: str, tmp_path: Path
) -> None:
    if configuration is not None:
        (tmp_path / "config.json").write_text(configuration, encoding="utf-8")
    assert socket_of({"DOCKER_CONFIG": str(tmp_path)} | environment) == found
