"""Helpers of the PostgreSQL tests on a real cluster: plays, SQL as a role, and separate namespaces.

The cluster is that of the Molecule scenario `default`. TEST_INVENTORY names an inventory other than
`inventory/mirrors`, and TEST_KUBECONFIG and TEST_CONTEXT name another cluster.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client

PROJECT = Path(__file__).resolve().parents[2]
INVENTORY = os.environ.get("TEST_INVENTORY", "inventory/mirrors")
STATE = PROJECT / ".state"
KUBECONFIG = os.environ.get("TEST_KUBECONFIG", str(STATE / "cloud-django-test" / "kubeconfig"))
CONTEXT = os.environ.get("TEST_CONTEXT", "kind-cloud-django-test")
NODE = "cloud-django-test-control-plane"

# Seconds.
SERVICE_LAG = 10

# Characters that broke programs that handle passwords: see ansible/awx-operator#837, kubernetes/kubernetes#101137.
ODD_PASSWORD = "-@:/?#%41 $$ $(HOME) ${HOME} `id` {{ 1 + 1 }} {% raw %} '\"\\ \\n;-- é 🔑 ﬁ end"


@cache
def inventory_value(name: str) -> Any:
    """Return a variable of the inventory that needs no templating."""
    for path in (PROJECT / INVENTORY / "group_vars" / "all").glob("*.yml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if name in values:
            return values[name]
    raise KeyError(name)


def image() -> str:
    """Return the PostgreSQL image of the inventory, or the role's default."""
    try:
        return inventory_value("postgresql_image")
    except KeyError:
        return "docker.io/library/postgres:17"


@dataclass
class Play:
    """Result of a play."""

    code: int
    changed: int
    failed: list[str]
    results: list[tuple[str, dict[str, Any], float]] = field(repr=False)
    text: str = field(repr=False)

    @property
    def changes(self) -> list[str]:
        return [change for _, result, _ in self.results for change in result.get("changes", [])]

    @property
    def seconds(self) -> float:
        """Return the seconds of the roles' tasks, without the start of Ansible."""
        return sum(duration for _, _, duration in self.results)

    def succeeded(self) -> Play:
        assert not self.code, self.failed or self.text
        return self

    def sentence(self) -> str:
        """Return the message that the play failed with."""
        assert self.code, "the play should have failed"
        assert len(self.failed) == 1, self.failed
        return self.failed[0]


def run_play(
    namespace: str,
    roles: list[str],
    variables: Mapping[str, Any],
    *options: str,
    plain: bool = False,
    playbook: str = "tests/cluster/postgresql.yml",
) -> Play:
    """Run roles or a playbook with variables.

    With `plain`, return only the output, as a user sees it.
    """
    environment = os.environ | {
        "MOLECULE_PROJECT_DIRECTORY": str(PROJECT),
        "MOLECULE_SCENARIO_NAME": "cluster",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default" if plain else "ansible.posix.json",
        "ANSIBLE_NOCOLOR": "1",
    }
    with extra_variables({"test_roles": roles, "app_namespace": namespace} | dict(variables)) as option:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={PROJECT / INVENTORY}"]
        command += [f"--inventory={PROJECT / 'molecule/inventory'}", option]
        command += [str(PROJECT / playbook), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=PROJECT, timeout=500, check=False
        )
    return parse_play(done) if not plain else Play(done.returncode, -1, [], [], done.stdout + done.stderr)


@contextmanager
def extra_variables(variables: Mapping[str, Any]) -> Iterator[str]:
    """Yield an option for ansible-playbook with a file of variables, so that they're in no argument and on no disk."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8", dir="/dev/shm") as file:
        yaml.dump(dict(variables), file, Dumper=UnsafeDumper, allow_unicode=True)
        file.flush()
        yield f"--extra-vars=@{file.name}"


class Unsafe(str):
    """A string that Ansible must not treat as a template."""


class UnsafeDumper(yaml.SafeDumper):
    """YAML dumper for variables of Ansible."""


UnsafeDumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def parse_play(done: subprocess.CompletedProcess[str]) -> Play:
    start = done.stdout.find("{\n")
    assert start >= 0, done.stdout + done.stderr
    told = json.loads(done.stdout[start:])
    results, failed = [], []
    for task in (task for play in told["plays"] for task in play["tasks"]):
        for result in task["hosts"].values():
            times = task["task"]["duration"]
            lasted = (
                (datetime.fromisoformat(times["end"]) - datetime.fromisoformat(times["start"])).total_seconds()
                if times.get("end")
                else 0.0
            )
            results.append((task["task"]["name"], result, lasted))
            if result.get("failed"):
                failed.append(result.get("msg", ""))
    stats = next(iter(told["stats"].values()), {"changed": 0})
    return Play(done.returncode, stats["changed"], failed, results, done.stdout + done.stderr)


@cache
def client() -> Any:
    return get_api_client(kubeconfig=KUBECONFIG, context=CONTEXT).client


def cluster(namespace: str) -> Client:
    return Client(client(), namespace, CONTEXT)


def eventually(check: Callable[[], Any], seconds: float = 60.0, pause: float = 0.2) -> Any:
    """Return the first true result of `check`. Raises AssertionError after the given seconds."""
    until = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        assert time.monotonic() < until, f"not within {seconds} s: {check}"
        time.sleep(pause)


def remove_namespace(namespace: str, wait: bool = True) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    cluster(namespace).request("delete", path)
    if wait:
        eventually(lambda: client_answers_missing(namespace), 120)


def client_answers_missing(namespace: str) -> bool:
    return not cluster(namespace).namespace_exists()


@cache
def load_image() -> None:
    """Load the image into the node if it was built on this machine and the node does not have it."""
    name = image()
    if not name.startswith("localhost/"):
        return
    inside = ["docker", "exec", "--interactive", NODE, "ctr", "--namespace", "k8s.io", "images"]
    known = subprocess.run([*inside, "list", "--quiet"], capture_output=True, text=True, check=True).stdout
    if name in known.split():
        return
    with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saved:
        subprocess.run([*inside, "import", "-"], stdin=saved.stdout, capture_output=True, check=True)


@contextmanager
def own_namespace(name: str, wait: bool = False) -> Iterator[Client]:
    """Yield a new namespace that enforces the profile `restricted`, then remove it.

    With `wait`, return when it is gone. Otherwise only the next use of the same name waits.
    """
    load_image()
    remove_namespace(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/managed-by": "cloud-django"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster(name).request("post", "/api/v1/namespaces", body=body)
    try:
        yield cluster(name)
    finally:
        remove_namespace(name, wait)


SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def pod(name: str, labels: Mapping[str, str], claim: str = "", **spec: Any) -> dict[str, Any]:
    """Return the manifest of a sleeping pod with PostgreSQL's programs, and with a claim at /data if one is given."""
    container: dict[str, Any] = {
        "name": "main",
        "image": image(),
        "command": ["sleep", "3600"],
        "securityContext": SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]
    if claim:
        container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    identity = {"runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": identity,
            "containers": [container],
            "volumes": volumes,
            **spec,
        },
    }


@contextmanager
def running_pod(where: Client, manifest: dict[str, Any]) -> Iterator[Callable[[str], Result]]:
    """Yield a function that runs shell scripts in a new pod, then remove the pod."""
    name = manifest["metadata"]["name"]
    where.create(manifest)
    try:
        wait_until_running(where, name, 60)
        yield lambda script: where.exec(name, "main", ["sh", "-ec", script], timeout=120)
    finally:
        where.delete("Pod", name, grace=0)
        eventually(lambda: where.get("Pod", name) is None)


def secret(where: Client, name: str) -> dict[str, str]:
    found = where.get("Secret", name)
    assert found, f"Secret {name} is missing"
    return data_of(found)


def psql(
    where: Client, client_pod: str, access: Mapping[str, str], statement: str, password: str = "", **options: str
) -> Result:
    """Run SQL over the network from a pod, with the login of a Secret; `options` are passed to libpq.

    After a pod becomes ready, its Service refuses connections until each node knows the endpoint. Like any client, this
    function retries. Errors of the server itself are returned.
    """
    parameters = {
        "host": access["host"],
        "port": access["port"],
        "dbname": access["database"],
        "user": access["username"],
        "password": password or access["password"],
        "sslmode": "verify-full",
        "sslrootcert": "/tmp/ca.crt",
        "connect_timeout": "4",
    } | options
    quoting = str.maketrans({"\\": r"\\", "'": r"\'"})
    connection = " ".join(f"{name}='{value.translate(quoting)}'" for name, value in parameters.items())
    script = (
        f"umask 077; printf %s {shlex.quote(access['ca.crt'])} > /tmp/ca.crt\n"
        f"psql -XqAt -v ON_ERROR_STOP=1 -d {shlex.quote(connection)} -c {shlex.quote(statement)}"
    )
    until = time.monotonic() + SERVICE_LAG
    while True:
        ended = where.exec(client_pod, "main", ["sh", "-c", script], timeout=60)
        if "Connection refused" not in ended.err or time.monotonic() > until:
            return ended
        time.sleep(0.2)


def admin_sql(where: Client, statement: str, database: str = "postgres", server: str = "polls-postgresql-0") -> str:
    """Run SQL as the administrator in the server's container."""
    ended = where.exec(
        server, "postgresql", ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement]
    )
    assert not ended.code, ended.err
    return ended.out.strip()
