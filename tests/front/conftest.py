"""Front and project as two processes on this machine, with the configuration that the role `web` renders."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from talk import Answer, get

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
SITE = PROJECT / ".venv" / "site" / "bin"
# tests/site/prepare.yml creates this link.
CADDY = os.environ.get("CADDY", str(SITE / "caddy"))
PATIENCE_SECONDS = 20

RENDER = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"__django_component": "web", "__django_login": "app"},
        "tasks": [
            {"include_role": {"name": "cloud_django.kubernetes.web", "tasks_from": "check_replicas", "public": True}},
            {
                "ansible.builtin.copy": {
                    "dest": "{{ target }}",
                    "content": "{{ lookup('ansible.builtin.vars', wanted) }}",
                    "mode": "0600",
                }
            },
        ],
    }
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}: {log.read_text()}")


def rendered(folder: Path, variables: dict[str, Any], name: str = "__web_front_text") -> str:
    """Return a computed variable of the role."""
    folder.mkdir(parents=True, exist_ok=True)
    playbook, target = folder / "render.yml", folder / "rendered"
    playbook.write_text(json.dumps(RENDER))
    base = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "", "django_image": "none"}
    base |= {"web_node_address": "127.0.0.1", "ansible_python_interpreter": sys.executable}
    given = json.dumps(base | {"target": str(target), "wanted": name} | variables)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "--inventory=localhost,", str(playbook)]
    done = subprocess.run([*command, f"--extra-vars={given}"], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target.read_text()


@functools.cache
def configuration(variables: str) -> str:
    """Return the configuration of the front for variables of the role, rendered once for each JSON string."""
    with tempfile.TemporaryDirectory() as folder:
        return rendered(Path(folder), json.loads(variables))


class Pod:
    """Front and project, each a process group with a log."""

    def __init__(self, folder: Path, config: dict[str, Any], ports: tuple[int, int], settings: dict[str, str]) -> None:
        self.folder, self.config, self.settings = folder, config, settings
        self.port, self.project_port = ports
        self.front: subprocess.Popen[bytes] | None = None
        self.project: subprocess.Popen[bytes] | None = None
        self.seen_path = folder / "seen"
        # As in a pod, without a writable home.
        self.front_environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

    live_path = "/front-livez"

    def probe(self, path: str = "/readyz", **headers: str) -> Answer:
        """Return whether the pod is ready, as the kubelet checks it."""
        key = re.findall(r'"X-Front-Probe": \["(\w{10})"\]', json.dumps(self.config))
        return get(self.port, path, X_Front_Probe=key[0], **headers)

    def start_front(self) -> None:
        path, log = self.folder / "caddy.json", self.folder / "front.log"
        path.write_text(json.dumps(self.config))
        with log.open("ab") as output:
            self.front = subprocess.Popen(
                [CADDY, "run", f"--config={path}"],
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self.front_environment,
            )
        wait_for_port(self.port, self.front, log)

    def start_project(self, program: str = "") -> None:
        """Start gunicorn, or a program of these tests."""
        log = self.folder / "project.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{HERE}:{PROJECT / 'django_polls' / 'packages' / 'cloud-django'}",
            "SEEN": str(self.seen_path),
            "WEB_BIND": f"127.0.0.1:{self.project_port}",
            "WEB_CONCURRENCY": "1",
            "WEB_THREADS": "8",
            "WEB_KEEPALIVE": "5",
        }
        configuration = f"--config={PROJECT / 'django_polls' / 'gunicorn.conf.py'}"
        with log.open("ab") as output:
            self.project = subprocess.Popen(
                [str(SITE / "python"), str(HERE / program), str(self.project_port)]
                if program
                else [str(SITE / "gunicorn"), configuration, "project:application"],
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment | self.settings,
            )
        wait_for_port(self.project_port, self.project, log)

    def kill_project(self) -> None:
        """Kill all processes of a container, like the kernel when memory runs out."""
        assert self.project
        os.killpg(self.project.pid, signal.SIGKILL)
        self.project.wait()

    def stop(self) -> None:
        for process in (self.front, self.project):
            if process and process.poll() is None:
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def seen(self, path: str) -> list[str]:
        """Return the requests that reached the application at a path."""
        lines = self.seen_path.read_text().splitlines() if self.seen_path.exists() else []
        return [line for line in lines if line.split()[1] == path]

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "front.log").read_text().splitlines() if line[:1] == "{"]


@pytest.fixture(scope="module")
def make_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Pod]]:
    """Return a function that starts pods with variables of the role; they stop after the module."""
    with contextlib.ExitStack() as stack:

        def make(settings: dict[str, str] | None = None, start: bool = True, **variables: Any) -> Pod:
            folder = tmp_path_factory.mktemp("pod")
            ports = free_port(), free_port()
            config = configuration(json.dumps(variables, sort_keys=True))
            config = config.replace('":8080"', f'":{ports[0]}"').replace("127.0.0.1:8000", f"127.0.0.1:{ports[1]}")
            config = config.replace("/srv/statics", str(folder / "statics"))
            pod = Pod(folder, json.loads(config), ports, settings or {})
            stack.callback(pod.stop)
            if start:
                pod.start_project()
                pod.start_front()
            return pod

        yield make


@pytest.fixture(scope="module")
def pod(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod with the role's defaults."""
    return make_pod()
