"""What measurements share: playbooks as a user runs them, and the machine that they ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"


class Failed(Exception):
    """A measurement that cannot be made; the text says why."""


class Plays:
    """Playbooks as a user runs them, with some variables of their own."""

    def __init__(
        self,
        inventories: Sequence[str],
        variables: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.inventories = [f"--inventory={inventory}" for inventory in inventories]
        self.variables = dict(variables)
        self.environment = os.environ | {"ANSIBLE_NOCOLOR": "1"} | dict(environment or {})
        self.output = ""
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, playbook: str, *arguments: str, **variables: Any) -> int:
        """Run a playbook; return how many tasks changed something. Raises Failed, with all that it printed."""
        process = self.start(playbook, *arguments, **variables)
        try:
            self.output, _ = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise Failed(f"{playbook}.yml failed:\n{self.output}")
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))

    def start(self, playbook: str, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a playbook."""
        command = [str(Path(sys.executable).with_name("ansible-playbook")), *self.inventories]
        command += [f"playbooks/{playbook}.yml", *arguments, "--extra-vars", json.dumps(self.variables | variables)]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        """End what was started and goes on."""
        going_on = [process for process in self.processes if process.poll() is None]
        for process in going_on:
            process.terminate()
        for process in going_on:
            process.wait()

    def address(self) -> str:
        """Return the site's address, as the playbook just told it."""
        found = re.search(r"Site: (http\S+?)[\"',]*$", self.output, re.MULTILINE)
        if not found:
            raise Failed(f"site.yml names no address:\n{self.output}")
        return found[1]

    def variable(self, name: str) -> str:
        """Return a variable of the inventory, or a default of the role cluster, as text."""
        command = [str(Path(sys.executable).with_name("ansible-playbook")), *self.inventories, "bench/variable.yml"]
        command += ["--extra-vars", json.dumps(self.variables | {"variable": name})]
        environment = self.environment | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
        return str(json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("{"))[0][name])


def copied_context(copy: Path) -> Path:
    """Copy the build context of the site into a new folder, to change it; return the folder."""
    shutil.copytree(PROJECT / "django_polls", copy / "django_polls", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy2(PROJECT / name, copy / name)
    return copy


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text in a file. Raises Failed if it is not there."""
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise Failed(f"{file.name} has no {old!r} any more.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": re.match(r"[\d.]*", platform.release())[0],
        "python": platform.python_version(),
        "ansible_core": importlib.metadata.version("ansible-core"),
    }


def kubectl(plays: Plays) -> list[str]:
    """Return how to call kubectl for the cluster of the playbooks. Raises Failed if it is not installed."""
    beside = Path(plays.variable("cluster_kind_binary")).parent / "kubectl"
    program = str(beside) if beside.is_file() else shutil.which("kubectl")
    if not program:
        raise Failed("kubectl is not installed, and is needed here: install it.")
    return [program, *(f"--{name}={plays.variable(f'cluster_{name}')}" for name in ("kubeconfig", "context"))]


def put_into_readme(command: str, lines: Sequence[str]) -> None:
    """Replace the table between the two marks of a command."""
    text = README.read_text(encoding="utf-8")
    mark = f"<!-- figures: written by `{command}` -->"
    before, _, after = text.split(mark)
    README.write_text(mark.join([before, "\n" + "\n".join(lines) + "\n", after]), encoding="utf-8")


def say(text: str) -> None:
    """Tell what is going on, beside the table."""
    print(f"{text} …", file=sys.stderr, flush=True)
