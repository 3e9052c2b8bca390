"""Helpers of the tests on a real cluster: the cluster, and plays as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent.parent
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SETTINGS = {
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_NOCOLOR": "true",
}
HERE = {
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}


@dataclass(frozen=True)
class Cluster:
    """Cluster that the tests use."""

    kubeconfig: Path
    context: str

    def nodes(self) -> list[str]:
        """Return the names of the containers that are nodes, or none unless it is a kind cluster on this machine."""
        label = f"label=io.x-k8s.kind.cluster={self.context.removeprefix('kind-')}"
        return docker("container", "ls", "--filter", label, "--format", "{{.Names}}").split()


def the_cluster() -> Cluster:
    """Return the cluster in the environment, by default that of the Molecule scenario `default`."""
    kubeconfig = Path(
        os.environ.get("TEST_KUBECONFIG", PROJECT / ".state" / "cloud-django-test" / "kubeconfig")
    ).absolute()
    assert kubeconfig.is_file(), f"{kubeconfig} does not exist: run `molecule create --scenario-name default`."
    return Cluster(kubeconfig, os.environ.get("TEST_CONTEXT", "kind-cloud-django-test"))


def docker(*arguments: str, check: bool = True) -> str:
    """Run docker and return its standard output."""
    return subprocess.run(["docker", *arguments], check=check, stdout=subprocess.PIPE, text=True, timeout=300).stdout


@dataclass(frozen=True)
class Ended:
    """Exit status and output of a play."""

    code: int
    output: str


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user without settings for Ansible or kubectl; `folder` contains the home."""
    configuration = folder / "ansible.cfg"
    configuration.touch()
    return user_environment() | {"ANSIBLE_CONFIG": str(configuration)}


def user_environment() -> dict[str, str]:
    """Return the environment of a user of this checkout without settings for Ansible or kubectl."""
    foreign = ("ANSIBLE_", "K8S_AUTH_", "MOLECULE_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and k != "KUBECONFIG"}
    return kept | SETTINGS


def run_playbook(
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    prefix: Sequence[str] = (),
    limit: float = 300,
) -> Ended:
    """Run ansible-playbook in a directory; `prefix` comes before the command, and `limit` is in seconds."""
    ended = subprocess.run(
        [*prefix, str(ANSIBLE_PLAYBOOK), *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
    )
    return Ended(ended.returncode, ended.stdout)


def run_play(
    folder: Path,
    play: Mapping[str, Any],
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Ended:
    """Run a play, given as data, on this machine; `prefix` comes before the command."""
    path = folder / "play.yml"
    # JSON is valid YAML.
    path.write_text(json.dumps([HERE | dict(play)]), encoding="utf-8")
    return run_playbook(
        folder,
        ["--inventory", "localhost,", *arguments, str(path)],
        environment or clean_environment(folder),
        prefix,
    )


def wait_for[T](found: Callable[[], T], seconds: float, what: str) -> T:
    """Return the first true result of `found` within `seconds`, or fail."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.1)
    return value
