"""Code that measurements share: playbooks as a user runs them, and the machine that they run on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
# Files that `make bench` and `make prove` write.
WRITTEN = ("README.md", "docs/figures.md", "docs/plots", "bench/results.json", "bench/prove.json")

# Variables that each measurement needs.
COMMON = (
    "app_name",
    "app_namespace",
    "cache_backend",
    "cache_state",
    "cluster_context",
    "cluster_kind_binary",
    "cluster_kubeconfig",
    "cluster_provider",
)


class Failed(Exception):
    """Measurement that failed; the message is the reason."""


class Plays:
    """Playbooks as a user runs them, with extra variables."""

    def __init__(
        self,
        inventories: Sequence[str],
        variables: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        project: Path = PROJECT,
    ) -> None:
        self.project = project
        self.inventories = [f"--inventory={inventory}" for inventory in inventories]
        self.variables = dict(variables)
        # The figures come from the output of the default callback.
        own = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
        self.environment = os.environ | own | dict(environment or {})
        self.output = ""
        self.processes: list[subprocess.Popen[str]] = []
        self.known: dict[str, str] = {}

    def __call__(self, playbook: str | Path, *arguments: str, **variables: Any) -> int:
        """Run a playbook; return the number of changed tasks. Raises Failed with its output."""
        process = self.start(playbook, *arguments, **variables)
        try:
            self.output, _ = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise Failed(f"{Path(playbook).stem}.yml failed:\n{self.output}")
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))

    def start(self, playbook: str | Path, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a playbook of the project by name, or another one by path."""
        path = str(playbook) if isinstance(playbook, Path) else f"playbooks/{playbook}.yml"
        command = [program("ansible-playbook"), *self.inventories, path, *arguments]
        command += ["--extra-vars", json.dumps(self.variables | variables)]
        process = subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Terminate the processes that are still running."""
        running = [process for process in self.processes if process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            process.wait()

    def address(self) -> str:
        """Return the site URL that the last playbook printed."""
        found = re.search(r"Site: (http\S+?)[\"',]*$", self.output, re.MULTILINE)
        if not found:
            raise Failed(f"site.yml printed no site URL:\n{self.output}")
        return found[1]

    def variable(self, name: str) -> str:
        """Return a variable of the inventory or of the defaults of the site's roles. Raises Failed if it is unset."""
        if name not in self.known:
            # Query all of them at once, because each query is a separate run.
            self.known |= self.variables_of(sorted({name, *COMMON}))
        if name not in self.known:
            raise Failed(f"Variable {name} is not defined in the inventory or in a role of site.yml.")
        return self.known[name]

    def variables_of(self, names: Sequence[str]) -> dict[str, str]:
        """Return the defined variables among these, as strings."""
        site = site_play(self.project)
        undefined = "__undefined"
        shown = {name: f"{{{{ lookup('ansible.builtin.vars', '{name}', default='{undefined}') }}}}" for name in names}
        # The roles must be in the play for their defaults. The tags skip all of their tasks.
        play = {
            "name": "Show variables",
            "hosts": site["hosts"],
            "gather_facts": False,
            "roles": [{"role": name, "tags": ["never"]} for name in role_names(site)],
            "tasks": [{"name": "Show them", "ansible.builtin.debug": {"msg": shown}}],
        }
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "variables.yml")
            file.write_text(yaml.safe_dump([play]), encoding="utf-8")
            command = [program("ansible-playbook"), *self.inventories, str(file), "--skip-tags=always"]
            command += ["--extra-vars", json.dumps(self.variables)]
            environment = self.environment | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
            done = subprocess.run(command, cwd=self.project, env=environment, capture_output=True, text=True)
        found = re.search(r"=> (\{$.*?^\})", done.stdout, re.MULTILINE | re.DOTALL)
        if done.returncode or not found:
            raise Failed(f"The variables {', '.join(names)} cannot be read:\n{done.stdout}{done.stderr}")
        values = json.loads(found[1])["msg"]
        return {name: str(value) for name, value in values.items() if value != undefined}


def unchanged(plays: Plays, *arguments: str, **variables: Any) -> None:
    """Run site.yml. Raises Failed if it changes something."""
    if changed := plays("site", *arguments, **variables):
        raise Failed(f"{changed} tasks reported changes in a run without changes:\n{plays.output}")


def program(name: str) -> str:
    """Return the path of a program in the virtual environment."""
    return str(Path(sys.executable).with_name(name))


def site_play(project: Path = PROJECT) -> dict[str, Any]:
    """Return the play of site.yml that has the roles. Raises Failed if there is none."""
    plays = yaml.safe_load((project / "playbooks" / "site.yml").read_text(encoding="utf-8"))
    with_hosts = [play for play in plays if "hosts" in play]
    if not with_hosts:
        raise Failed("playbooks/site.yml has no play with hosts.")
    return next((play for play in with_hosts if role_names(play)), with_hosts[0])


def role_names(play: Mapping[str, Any]) -> list[str]:
    """Return the names of a play's roles, without duplicates."""
    imports = [task.get("ansible.builtin.import_role") for task in play.get("tasks") or []]
    return list(dict.fromkeys(role["name"] for role in imports if role))


def empty_play(folder: Path) -> Path:
    """Write a playbook that does nothing on the hosts of the site; return its path."""
    play = {
        "name": "Do nothing",
        "hosts": site_play()["hosts"],
        "gather_facts": False,
        "tasks": [{"name": "Do nothing", "ansible.builtin.meta": "noop"}],
    }
    file = folder / "empty.yml"
    file.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    return file


def git(*arguments: str, project: Path = PROJECT) -> str:
    """Run git in a checkout; return its output. Raises Failed on errors."""
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failed("git is not installed. Install it.") from error
    if done.returncode:
        raise Failed(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def measured_commit(project: Path = PROJECT) -> str:
    """Return the commit of the checkout, with "-dirty" if files differ from it. Files with figures do not count."""
    commit = git("rev-parse", "HEAD", project=project)
    changes = git("status", "--porcelain", "--", ".", *(f":(exclude){name}" for name in WRITTEN), project=project)
    return f"{commit}-dirty" if changes else commit


def copied_context(copy: Path) -> Path:
    """Copy the build context of the site to a new directory, where it can be changed; return the directory."""
    shutil.copytree(PROJECT / "django_polls", copy / "django_polls", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy2(PROJECT / name, copy / name)
    return copy


def replace(file: Path, old: str, new: str) -> None:
    """Replace a string in a file. Raises Failed if the file does not contain it."""
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise Failed(f"{file.name} does not contain {old!r}.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return the properties of the machine that affect the figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": re.match(r"[\d.]*", platform.release())[0],
        "python": platform.python_version(),
        "ansible_core": importlib.metadata.version("ansible-core"),
    }


def kubectl(plays: Plays) -> list[str]:
    """Return the kubectl command for the cluster of the playbooks. Raises Failed if kubectl is not installed."""
    beside = Path(plays.variable("cluster_kind_binary")).parent / "kubectl"
    program = str(beside) if beside.is_file() else shutil.which("kubectl")
    if not program:
        raise Failed("kubectl is not installed. Install it.")
    return [program, *(f"--{name}={plays.variable(f'cluster_{name}')}" for name in ("kubeconfig", "context"))]


def ended(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C: remove what was deployed, and ignore further SIGTERMs."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit("Terminated. The figures that were complete are stored.")


def say(text: str) -> None:
    """Print progress to standard error, separate from the table."""
    print(f"{text} …", file=sys.stderr, flush=True)
