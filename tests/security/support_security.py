"""Helpers of the attacks: a site with special characters in its passwords, and all output of playbooks.

The cluster is that of the Molecule scenario `default`. See postgresql_support.py for other clusters.
"""

from __future__ import annotations

import base64
import http.client
import http.cookies
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from postgresql_support import (
    INVENTORY,
    ODD_PASSWORD,
    PROJECT,
    Client,
    Unsafe,
    cluster,
    extra_variables,
    remove_namespace,
)
from support import run_playbook

NAMESPACE = "test-security"
STRANGERS = "test-security-strangers"
SUPERUSER = "admin"
# Given by the user. Other secrets are generated, and the tests search for these too.
GIVEN = {
    "superuser_password": Unsafe(f"superuser {ODD_PASSWORD}"),
    "database_passwords": {"app": Unsafe(f"app {ODD_PASSWORD}"), "migrate": Unsafe(f"{ODD_PASSWORD} migrate")},
    "postgresql_admin_password": Unsafe(f"{ODD_PASSWORD} administrator"),
}
# A text that Kubernetes would expand in the environment of a container.
EXPANDABLE = "a$$b$(DATABASE_HOST)c"
# The last command prints the setting and its own argument to the log of the Job.
PRINT = f"import os; print('JOB', os.environ.get('TEST_EXPANDABLE'), '{EXPANDABLE}')"
# A separate image repository, because tests that deploy other images would prune these.
SMALL = {
    "postgresql_storage_size": "1Gi",
    "web_replicas": 2,
    "django_environment": {"TEST_EXPANDABLE": EXPANDABLE},
    "migrations_commands": [["load_demo_polls"], ["shell", "--verbosity", "0", "--command", PRINT]],
    "app_image_repository": "localhost/cloud-django-test/security",
}
# Logs of the commands of make.
LOGS = PROJECT / ".state" / "logs"
# Values of Secrets that are not secret.
PUBLIC = {
    "host",
    "port",
    "username",
    "user",
    "database",
    "schema",
    "sslmode",
    "sslrootcert",
    "owner",
    "role",
    "email",
    "ca",
    "ca.crt",
    "tls.crt",
    "namespace",
    # Each key in the cache begins with it.
    "prefix",
}


@dataclass(frozen=True)
class Ended:
    """Arguments, exit status, and output of a playbook, which includes its log."""

    arguments: list[str]
    code: int
    output: str
    log: str = ""

    @property
    def unfolded(self) -> str:
        """Return the output without the line breaks that Ansible inserts in long sentences."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))


@dataclass
class Record:
    """All playbook runs, and the process list of this machine during the runs.

    The nodes are containers on this machine, so the list includes the processes in pods.
    """

    runs: list[Ended] = field(default_factory=list)
    processes: set[bytes] = field(default_factory=set)
    started: float = field(default_factory=time.time)

    def play(self, playbook: str, *options: str, inventory: Path = PROJECT / INVENTORY, **variables: Any) -> Ended:
        """Run a playbook with full verbosity, as a user who keeps passwords in a file of variables."""
        mine = os.environ | {"MOLECULE_PROJECT_DIRECTORY": str(PROJECT), "MOLECULE_SCENARIO_NAME": "security"}
        extra = {"app_namespace": NAMESPACE, "image_context": str(PROJECT)} | SMALL | GIVEN | variables
        with extra_variables(extra) as option, self.watched():
            arguments = [f"--inventory={inventory}", f"--inventory={PROJECT / 'molecule/inventory'}", option]
            arguments += [str(PROJECT / "playbooks" / playbook), "-vvv", "--diff", *options]
            done = run_playbook(PROJECT, arguments, mine | {"ANSIBLE_NOCOLOR": "1"}, limit=500)
        ended = Ended([playbook, *options, *variables], done.code, done.output)
        self.runs.append(ended)
        return ended

    def make(self, *options: str, own_output: bool = False, **variables: Any) -> Ended:
        """Run the site's playbook as `make` does: with a line per step and a log, or with Ansible's own output."""
        mine = os.environ | {"MOLECULE_PROJECT_DIRECTORY": str(PROJECT), "MOLECULE_SCENARIO_NAME": "security"}
        mine |= {"INVENTORY": str(PROJECT / INVENTORY), "V": "1" if own_output else "", "ANSIBLE_NOCOLOR": "1"}
        mine |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        extra = {"app_namespace": NAMESPACE, "image_context": str(PROJECT)} | SMALL | GIVEN | variables
        before = set(LOGS.glob("*.log"))
        # Not the target up, whose inventory would be remembered.
        command = [str(PROJECT / "scripts" / "play"), "security", "playbooks/site.yml", "--"]
        command += [f"--inventory={PROJECT / 'molecule/inventory'}", "--diff", *options]
        with extra_variables(extra) as option, self.watched():
            done = subprocess.run(
                [*command, option],
                cwd=PROJECT,
                env=mine,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=500,
            )
        log = "".join(path.read_text(encoding="utf-8") for path in set(LOGS.glob("security-*.log")) - before)
        ended = Ended(["site.yml", *options, *variables], done.returncode, done.stdout + log, log)
        self.runs.append(ended)
        return ended

    def watched(self) -> Watch:
        return Watch(self.processes)


class Watch:
    """Record arguments and environment of all processes, many times per second."""

    def __init__(self, seen: set[bytes]) -> None:
        self.seen = seen
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def look(self) -> None:
        while not self.over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:  # The process has exited.
                        continue


@dataclass
class Site:
    """Site under attack."""

    where: Client
    record: Record

    @cached_property
    def address(self) -> tuple[str, int]:
        """Return host and port of the site, as seen from this machine."""
        nodes = self.where.request("get", "/api/v1/nodes")["items"]
        known = [entry for node in nodes for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
        service = self.where.get("Service", "polls-web")
        return known[0]["address"], service["spec"]["ports"][0]["nodePort"]

    @property
    def host(self) -> str:
        return "{}:{}".format(*self.address)

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """Request a page from this machine over a new connection."""
        client = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request(method, path, body=body, headers={"Host": self.host} | names)
            response = client.getresponse()
            try:
                body = response.read()
            except ConnectionResetError:  # The server has already responded and closed the connection.
                body = b""
            return Answer(response.status, response.headers, body.decode(errors="replace"))
        finally:
            client.close()

    def send(self, request: str) -> int:
        """Send raw bytes, and return the status of the first response."""
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(request.encode())
            return int(connection.recv(1000).split(b" ")[1])

    @staticmethod
    def project(pod: dict[str, Any]) -> dict[str, Any]:
        """Return the container of a pod that runs the project."""
        spec = pod["spec"]
        return next(c for c in spec.get("initContainers", []) + spec["containers"] if c["name"] == "web")

    def log_in(self, password: str, username: str = SUPERUSER) -> Answer:
        """Submit the login form of the admin like a browser."""
        form = self.get("/admin/login/")
        token = form.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        body = urllib.parse.urlencode({"username": username, "password": password, "csrfmiddlewaretoken": token})
        cookie = f"csrftoken={form.cookies()['csrftoken'].value}"
        kind = "application/x-www-form-urlencoded"
        return self.get("/admin/login/", "POST", body, Cookie=cookie, Content_Type=kind, Origin=f"http://{self.host}")

    def pods(self, component: str = "web") -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/component={component}"
        return self.where.request("get", self.where.path("Pod"), label_selector=selector)["items"]

    def in_pod(self, *command: str, stdin: str = "") -> Any:
        """Run a program in a container of the site, where an intruder would be."""
        pod = next(entry["metadata"]["name"] for entry in self.pods() if not entry["metadata"].get("deletionTimestamp"))
        return self.where.exec(pod, "web", list(command), stdin)

    def secrets(self) -> dict[str, str]:
        """Return all secret values of the site by name."""
        found = {}
        for item in self.where.request("get", self.where.path("Secret"))["items"]:
            for key, value in (item.get("data") or {}).items():
                if key not in PUBLIC:
                    found[f"{item['metadata']['name']}/{key}"] = base64.b64decode(value).decode()
        return found


@dataclass(frozen=True)
class Answer:
    """Response of the site."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    def cookies(self) -> dict[str, http.cookies.Morsel]:
        jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for line in self.headers.get_all("Set-Cookie") or []:
            jar.load(line)
        return dict(jar)


def written(text: str) -> set[str]:
    """Return a secret in each form in which it may be written, without the surrounding characters."""
    raw = text.encode()
    forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    forms |= {urllib.parse.quote(text), urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text)}
    # As Ansible shows results.
    forms |= {text.replace("'", "''"), yaml.safe_dump(text, default_style='"', width=10**6)[1:-2]}
    forms |= {yaml.safe_dump(text, default_style='"', width=10**6, allow_unicode=True)[1:-2]}
    forms |= {json.dumps(form)[1:-1] for form in tuple(forms)}
    for shift in range(3):
        # As part of a longer string, whose encoding changes the characters at both ends.
        inside = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        forms.add(inside[4 if shift else 0 : -1])
    # A log or an error may wrap at line ends. The first line is equal for all keys.
    forms |= {line for line in text.splitlines() if len(line) > 20 and not line.startswith("-----")}
    return {form for form in forms if len(form) >= 12}


def leaks(secrets: Mapping[str, str], text: str) -> list[str]:
    """Return the names of the secrets in a string."""
    # Ansible wraps long lines at spaces.
    unfolded = " ".join(text.split())
    found = []
    for name, value in secrets.items():
        forms = written(value)
        if any(form in text or " ".join(form.split()) in unfolded for form in forms):
            found.append(name)
    return found


def outside_address() -> str:
    """Return the address of this machine, as seen from the nodes."""
    nodes = cluster(NAMESPACE).request("get", "/api/v1/nodes")["items"]
    node = next(entry["address"] for entry in nodes[0]["status"]["addresses"] if entry["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((node, 9))
        return route.getsockname()[0]


def deployed() -> Iterator[Site]:
    """Yield a new site, then remove it."""
    for name in (NAMESPACE, STRANGERS):
        remove_namespace(name)
    site = Site(cluster(NAMESPACE), Record())
    try:
        ended = site.record.play("site.yml")
        assert not ended.code, ended.output[-4000:]
        yield site
    finally:
        for name in (NAMESPACE, STRANGERS):
            remove_namespace(name)
