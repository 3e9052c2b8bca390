"""The commands of README.md and docs/getting-started.md, run to the letter by one shell, on a cluster of their own.

The shell clones the last commit of this checkout, as a reader would clone it from the address in the pages. It needs
Docker, takes some minutes, and removes its cluster at the end.
"""

from __future__ import annotations

import os
import re
import shlex
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
SECONDS = 1800


def environment() -> dict[str, str]:
    """Return the environment of a reader: without the tools of this checkout, and with its clone for the address."""
    tools = Path(sys.executable).parent
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != tools)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "MAKE", "MOLECULE_", "PYTEST_"))
        and name not in ("VIRTUAL_ENV", "INVENTORY")
    }
    clone = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{PROJECT}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    return kept | clone | {"PATH": path}


def script(commands: list[str]) -> str:
    """Return a script of the commands, each after a mark. The clone gets an inventory, and another cluster name."""
    inventory = os.environ.get("TEST_INVENTORY", "inventory/mirrors").rstrip("/")
    seed = (
        f"echo 'cluster_name: {CLUSTER}' > {shlex.quote(inventory)}/group_vars/all/test.yml\n"
        f"mkdir -p .state && echo {shlex.quote(Path(inventory).name)} > .state/inventory"
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
        done = subprocess.run(
            ["bash", "commands.sh"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        output: dict[str, str] = {}
        for part in done.stdout.split(MARK)[1:]:
            command, _, text = part.partition("\n")
            output[command] = output.get(command, "") + text
        output["exit status"] = str(done.returncode)
        yield output
    finally:
        # After a failure: the last command has removed the cluster otherwise.
        if (folder / "cloud-django" / ".state" / CLUSTER).exists():
            subprocess.run(["make", "down"], cwd=folder / "cloud-django", env=environment(), stdin=subprocess.DEVNULL)


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
