"""The commands of README.md and docs/getting-started.md, run to the letter by one shell, on a cluster of their own.

The shell clones the last commit of this checkout, as a reader would clone it from the address in the pages. It needs
Docker, takes some minutes, and removes its cluster and its images at the end.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PROJECT, session

ADDRESS = "https://github.com/cloud-django/kubernetes"
# The name of its cluster, which no user's cluster has.
CLUSTER = "cloud-django-test-docs"
MARK = "::command::"
SECONDS = 900
INVENTORY = os.environ.get("TEST_INVENTORY", "inventory/mirrors").rstrip("/")


def repository(folder: Path) -> Path:
    """Return a repository with the files of this checkout: its own, or for an archive without one, a new one."""
    if (PROJECT / ".git").exists():
        return PROJECT
    copy = folder / "repository"
    shutil.copytree(PROJECT, copy, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".state", "__pycache__"))
    git = ["git", "-C", str(copy), "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=Test"]):
        subprocess.run([*git, *command], check=True)
    return copy


def environment(source: Path = PROJECT) -> dict[str, str]:
    """Return the environment of a reader: without the tools of this checkout, and with a repository for the address."""
    tools = Path(sys.executable).parent
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != tools)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "CLOUD_DJANGO_", "K8S_AUTH_", "MAKE", "MFLAGS", "MOLECULE_", "PYTEST_"))
        and name not in ("VIRTUAL_ENV", "INVENTORY", "V", "ARGS", "REPLICAS")
    }
    clone = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.file://{source}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
        # Another user can own the checkout.
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }
    return kept | clone | {"PATH": path}


def script(commands: list[str]) -> str:
    """Return a script of the commands, each after a mark. The clone gets an inventory, and another cluster name."""
    seed = (
        f"echo 'cluster_name: {CLUSTER}' > {shlex.quote(INVENTORY)}/group_vars/all/test.yml\n"
        f"mkdir -p .state && echo {shlex.quote(Path(INVENTORY).name)} > .state/inventory"
    )
    lines = ["set -eo pipefail"]
    for command in commands:
        lines += [f"echo {shlex.quote(MARK + command)}", command]
        if command.startswith("git clone"):
            lines.append(seed)
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run all commands; yield the output of each that was started."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "commands.sh").write_text(script(session()), encoding="utf-8")
    try:
        code, printed = run_shell(folder)
        output: dict[str, str] = {}
        for part in printed.split(MARK)[1:]:
            command, _, text = part.partition("\n")
            output[command] = output.get(command, "") + text
        output["exit status"] = str(code)
        yield output
    finally:
        # After a failure: the last command has removed the cluster otherwise. The inventory is named, because the
        # choice of another one would remove a cluster of the user.
        if docker("container", "ls", "--all", "--quiet", f"--filter=name={CLUSTER}"):
            command = ["make", "down", f"INVENTORY={INVENTORY}"]
            subprocess.run(command, cwd=folder / "cloud-django", env=environment(), stdin=subprocess.DEVNULL)
        # `make down` keeps the images.
        if images := docker("image", "ls", "--quiet", f"--filter=reference=localhost/{CLUSTER}/*").split():
            docker("image", "rm", "--force", *set(images))


def run_shell(folder: Path) -> tuple[int, str]:
    """Run the script in a directory; return its exit status and its output. End all of its processes at a timeout."""
    with subprocess.Popen(
        ["bash", "commands.sh"],
        cwd=folder,
        env=environment(repository(folder)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def docker(*arguments: str) -> str:
    """Run docker; return its output, or nothing if it fails."""
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    return "" if done.returncode else done.stdout


def test_all_commands_succeed(printed: dict[str, str]) -> None:
    status = printed["exit status"]
    started = [command for command in printed if command != "exit status"]
    assert status == "0", f"{started[-1]} failed:\n{printed[started[-1]][-4000:]}"
    assert set(started) == set(session())


@pytest.mark.parametrize("command", ["make up", "make url"])
def test_the_address_is_printed(printed: dict[str, str], command: str) -> None:
    assert re.search(r"http://[\d.]+:\d+", printed[command])


def test_the_preview_names_no_failed_task(printed: dict[str, str]) -> None:
    [preview] = [text for command, text in printed.items() if "--check" in command]
    assert "failed=0" in preview


def test_nothing_is_left(printed: dict[str, str]) -> None:
    command = ["docker", "container", "ls", "--all", "--quiet", f"--filter=name={CLUSTER}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
    assert printed["make down"]
