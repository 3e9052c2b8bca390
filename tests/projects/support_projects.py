"""Helpers of the tests of public projects: their deployment on the test cluster, programs in pods, and load.

The cluster is that of the Molecule scenario `default`. See tests/cluster/postgresql_support.py for other clusters.
"""

from __future__ import annotations

import base64
import http.client
import random
import re
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import content
from browser import Browser
from postgresql_support import INVENTORY, PROJECT, cluster, extra_variables, remove_namespace
from support import Ended, run_playbook, user_environment
from support_security import PUBLIC
from visitors import Connections, outcome

PROJECTS = PROJECT / "inventory" / "projects"
# The inventory that the file cluster.yml of inventory/projects is a link to.
USUAL = "inventory/mirrors"
# Seconds of a run that builds an image and migrates the largest project, on a busy machine with two processors.
LONGEST_RUN = 3600
# Keys of Secrets whose values are no secrets, and of texts whose secrets have a key of their own.
NO_SECRETS = PUBLIC | {"address", "service"}
RATE = 20  # Requests per second of a rollout.
WORKERS = 10


@dataclass(frozen=True)
class Project:
    """Pages of a project, and how Python code in its pods starts."""

    login: str
    # A page that needs a login.
    protected: str
    username: str = "admin"
    page: str = "/"
    setup: str = "import django; django.setup()"
    # Secrets that the inventory puts into the environment, as `<name of the Secret without the site>/<key>`.
    mapped: tuple[str, ...] = ()


def settings(module: str) -> str:
    """Return Python code that loads Django with a settings module."""
    return f"import os, django; os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{module}'); django.setup()"


PAGES = {
    "plain": Project("/admin/login/", "/admin/", page="/admin/login/"),
    "bakery": Project("/admin/login/", "/admin/"),
    "pretalx": Project("/orga/login/", "/orga/event/", "admin@example.org", setup=settings("pretalx.settings")),
    "nautobot": Project(
        "/login/",
        "/",
        page="/login/",
        setup="import nautobot; nautobot.setup()",
        mapped=("django/secret-key", "cache/password"),
    ),
    "netbox": Project("/login/", "/", page="/login/", setup=settings("netbox.settings")),
}


@dataclass
class Site:
    """Deployed project."""

    name: str
    # Directory with the build contexts of all projects.
    contexts: Path
    inventory: Path
    runs: list[Ended] = field(default_factory=list)
    # Arguments and environments of all processes on this machine during the first run.
    processes: set[bytes] = field(default_factory=set)
    # Values that tests keep for later tests.
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return f"test-projects-{self.name}"

    @property
    def where(self) -> Client:
        return cluster(self.namespace)

    @property
    def project(self) -> Project:
        return PAGES[self.name]

    # ---- Playbooks ---------------------------------------------------------------------------------------------------

    def play(self, playbook: str, **variables: Any) -> Ended:
        """Run a playbook for this site of the inventory; fail with its output."""
        shared = {
            "cluster_name": "cloud-django-test",
            "cluster_state_directory": str(PROJECT / ".state"),
            "app_namespace": "test-projects-{{ inventory_hostname }}",
            "app_image_repository": "localhost/cloud-django-test/{{ app_name }}",
        }
        environment = user_environment() | {"PROJECTS": str(self.contexts)}
        with extra_variables(shared | variables) as option:
            arguments = [f"--inventory={self.inventory}", f"--limit={self.name}", option, f"playbooks/{playbook}.yml"]
            ended = run_playbook(PROJECT, arguments, environment, limit=LONGEST_RUN)
        self.runs.append(ended)
        assert not ended.code, ended.output[-6000:]
        return ended

    @property
    def address(self) -> str:
        """Return the address that the first run printed."""
        found = re.search(r"Site: (http\S+?)[\"',]*$", self.runs[0].output, re.MULTILINE)
        assert found, self.runs[0].output[-3000:]
        return found[1]

    def browser(self) -> Browser:
        return Browser(self.address)

    def signed_in(self) -> Browser:
        """Return a browser that is logged in as the superuser."""
        browser = self.browser()
        page = browser.log_in(self.project.login, self.project.username, self.secret("superuser", "password"))
        assert page.status in (302, 303), (page.status, page.text[:3000])
        return browser

    # ---- Objects -----------------------------------------------------------------------------------------------------

    def secret(self, name: str, key: str) -> str:
        """Return a value of a Secret of the site."""
        found = self.where.get("Secret", f"{self.name}-{name}")
        assert found, f"Secret {self.name}-{name} is missing"
        return base64.b64decode(found["data"][key]).decode()

    def secrets(self) -> dict[str, str]:
        """Return all secret values of the site by name, without those that the inventory puts into the environment."""
        mapped = {f"{self.name}-{name}" for name in self.project.mapped}
        found = {}
        for item in self.where.list("Secret"):
            for key, value in (item.get("data") or {}).items():
                name = f"{item['metadata']['name']}/{key}"
                if key not in NO_SECRETS and name not in mapped:
                    found[name] = base64.b64decode(value).decode()
        return found

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the running pods of a component, without those that are being deleted."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        pods = self.where.list("Pod", label_selector=selector)
        return [
            pod
            for pod in pods
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def content(self) -> list[str]:
        """Return the objects of the namespace."""
        found = content.run({"namespace": self.namespace, "kinds": []}, False, self.where)
        return [*found["objects"], *found["going"]]

    # ---- Programs in pods --------------------------------------------------------------------------------------------

    def python(self, code: str, *arguments: str) -> Result:
        """Run Python code in the container of the project in a web pod."""
        pod = self.pods("web")[0]["metadata"]["name"]
        return self.where.exec(pod, "web", ["python", "-c", code, *arguments], timeout=300)

    def django(self, code: str, *arguments: str) -> str:
        """Run Python code after Django was loaded, in a web pod; return its last line."""
        ended = self.python(f"import json, sys\n{self.project.setup}\n{code}", *arguments)
        assert not ended.code, ended.err[-3000:] + ended.out[-1000:]
        return ended.out.strip().splitlines()[-1]

    def reaches(self, host: str, port: int) -> bool:
        """Return whether a web pod can connect to an address."""
        code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
        return not self.python(code, host, str(port)).code


@contextmanager
def deployed(name: str, folder: Path, contexts: Path) -> Iterator[Site]:
    """Deploy a project, then remove what a failed test left."""
    site = Site(name, contexts, inventory(folder))
    remove_namespace(site.namespace)
    try:
        with watched(site.processes):
            site.play("site")
        yield site
    finally:
        remove_namespace(site.namespace)


def inventory(folder: Path) -> Path:
    """Return the inventory of the projects, with the cluster of TEST_INVENTORY."""
    if INVENTORY == USUAL:
        return PROJECTS
    copy = folder / "inventory" / "projects"
    if not copy.exists():
        shutil.copytree(PROJECTS, copy, symlinks=True)
        (copy / "group_vars" / "all" / "cluster.yml").unlink()
        shutil.copy(
            PROJECT / INVENTORY / "group_vars" / "all" / "main.yml", copy / "group_vars" / "all" / "cluster.yml"
        )
    return copy


@contextmanager
def watched(seen: set[bytes]) -> Iterator[None]:
    """Record arguments and environments of all processes once per second, including those in pods on this machine."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            seen.update(processes())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def processes() -> Iterator[bytes]:
    """Yield arguments and environment of each process on this machine."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            # The process may have exited.
            with suppress(OSError):
                yield (process / name).read_bytes()


# ---- Load ------------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """Requests to a page at a fixed rate, over new and reused connections."""

    browser: Browser
    path: str
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int, connections: Connections) -> None:
        """Send requests, each on time, until the load is over."""
        mine: http.client.HTTPConnection | None = None
        due = time.monotonic() + number / RATE
        while not self.over.wait(max(0.0, due - time.monotonic())):
            due += WORKERS / RATE
            # Every second worker reuses its connection, like a browser.
            connection = connections.take(mine) if number % 2 else connections.new()
            started = time.monotonic()
            problem = self.ask(connection)
            self.requests += 1
            if problem:
                self.failures.append(f"after {time.monotonic() - started:.2f} s: {problem}")
            mine = connection if number % 2 and not problem and connection.sock else None
            if mine is None:
                connection.close()

    def ask(self, connection: http.client.HTTPConnection) -> str:
        """Return why a request failed, or nothing."""
        try:
            connection.request("GET", self.path, headers={"Host": self.browser.netloc})
            response = connection.getresponse()
            response.read()
        except (http.client.HTTPException, OSError) as error:
            return outcome(error)
        return "" if response.status == 200 else f"status {response.status}"


@contextmanager
def load(browser: Browser, path: str) -> Iterator[Load]:
    """Send requests while the block runs."""
    sent = Load(browser, path)
    connections = Connections(*browser.place)
    threads = [threading.Thread(target=sent.run, args=[number, connections]) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        sent.over.set()
        for thread in threads:
            thread.join()


# ---- Pictures --------------------------------------------------------------------------------------------------------


def picture(size: int = 64) -> bytes:
    """Return a PNG file with random pixels, so that no two are equal."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + random.randbytes(size * 3) for _ in range(size))
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def upload(browser: Browser, path: str, content: bytes, values: Mapping[str, str]) -> None:
    """Send a picture with the form at a path. `values` are further fields by the ends of their names."""
    page = browser.open(path)
    form = page.form("file")
    for end, value in values.items():
        name = next((name for name in form.kinds if name == end or name.endswith(f"-{end}")), None)
        assert name, f"{path} has no field {end}: {', '.join(form.kinds)}"
        form.values[name] = value
    answer = browser.submit(page, form, {form.first("file"): ("picture.png", content)})
    assert answer.status in (302, 303), (answer.status, answer.text[:3000])


def named(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of objects."""
    return [item["metadata"]["name"] for item in items]
