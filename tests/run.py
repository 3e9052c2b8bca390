"""Run all tests, or the groups named as arguments, and end with how many passed and failed.

Groups, in this order: lint, unit, site, cluster. The last runs every Molecule scenario on one real cluster.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
MOLECULE_RECAP = re.compile(r"successful=(\d+).*?failed=(\d+)")


@dataclass
class Count:
    """Tests that passed and failed."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project; its output is shown as it comes, and returned."""
    print(f"\n$ {' '.join(arguments)}", flush=True)
    process = subprocess.Popen(
        arguments, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        print(line, end="", flush=True)
    return subprocess.CompletedProcess(arguments, process.wait(), "".join(lines))


def command(*arguments: str) -> Count:
    """Run a command that is one test by itself."""
    return Count(failed=1) if run(*arguments).returncode else Count(passed=1)


def pytest(*arguments: str, python: tuple[str, ...] = (sys.executable,)) -> Count:
    """Run pytest and count its tests. A run that finds none, or breaks off, counts as a failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        code = run(*python, "-m", "pytest", f"--junitxml={report}", *arguments).returncode
        if not report.is_file():
            return Count(failed=1)
        suites = ElementTree.parse(report).getroot().iter("testsuite")
        total = Count()
        for suite in suites:
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            total += Count(int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0)), bad)
    return total if total.failed or not code else total + Count(failed=1)


def molecule(*arguments: str) -> Count:
    """Run molecule and count the actions of the scenario. One that breaks off counts as a failure."""
    result = run("molecule", *arguments)
    total = Count()
    for passed, failed in MOLECULE_RECAP.findall(result.stdout):
        total += Count(int(passed), int(failed))
    return total if total.failed or not result.returncode else total + Count(failed=1)


def lint() -> Iterator[tuple[str, Callable[[], Count]]]:
    """Style and types."""
    yield "ruff check", lambda: command("ruff", "check", ".")
    yield "ruff format", lambda: command("ruff", "format", "--check", ".")
    yield "yamllint", lambda: command("yamllint", "--strict", ".")
    yield "ansible-lint", lambda: command("ansible-lint", "--offline")


def unit() -> Iterator[tuple[str, Callable[[], Count]]]:
    """Plugins and role contracts, without a cluster."""
    yield "unit tests", lambda: pytest("tests/unit", "--numprocesses=2")


def site() -> Iterator[tuple[str, Callable[[], Count]]]:
    """The site with a real PostgreSQL, and in a real browser."""
    inventories = [f"--inventory={PROJECT / os.environ.get('TEST_INVENTORY', 'inventory/mirrors')}"]
    yield "prepare for the site", lambda: command("ansible-playbook", *inventories, "tests/site/prepare.yml")
    with_database = (sys.executable, "tests/site/with_site.py", "--chdir=django_polls")
    manage = (*with_database, "env", "DJANGO_PUBLIC_URL=https://polls.example.org", "python", "manage.py")
    yield "site tests", lambda: pytest(python=(*with_database, "python"))
    yield "site check", lambda: command(*manage, "check", "--deploy", "--fail-level=WARNING")
    yield "site migrations", lambda: command(*manage, "makemigrations", "--check", "--dry-run")
    yield "site scripts", lambda: pytest("tests/site", python=(sys.executable, "tests/site/with_site.py", "python"))
    with_site = (sys.executable, "tests/site/with_site.py", "--serve", "python")
    yield "browser tests", lambda: pytest("tests/browser", python=with_site)


def cluster() -> Iterator[tuple[str, Callable[[], Count]]]:
    """Everything on a real cluster, which the scenario `default` creates first and destroys last."""
    yield "create the cluster", lambda: molecule("create", "--scenario-name", "default")
    # `default` comes first: it also starts a cluster that an earlier, interrupted run left stopped.
    names = [path.parent.name for path in PROJECT.glob("molecule/*/molecule.yml")]
    for name in sorted(names, key=lambda name: (name != "default", name)):
        if name == "cluster_minikube" and not shutil.which("minikube"):
            print(f"\nThe scenario {name} is skipped, since there is no minikube on PATH.")
            continue
        yield f"molecule {name}", lambda name=name: molecule("test", "--scenario-name", name, "--destroy", "never")
    two_files = ("--numprocesses=2", "--dist=loadfile")
    yield "cluster tests", lambda: pytest("tests/cluster", "-m", "not alone", "--durations=15", *two_files)
    yield "cluster tests of time", lambda: pytest("tests/cluster", "-m", "alone")
    for name, lock in {"checkov": "tests/security", "sbom": "scripts/sbom"}.items():
        yield (
            f"install {name}",
            lambda name=name, lock=lock: command("scripts/make_tool_venv", name, f"{lock}/requirements.txt"),
        )
    yield "security tests", lambda: pytest("tests/security")
    yield "load tests", lambda: pytest("tests/load")
    yield "destroy the cluster", lambda: molecule("destroy", "--scenario-name", "default")


GROUPS = {"lint": lint, "unit": unit, "site": site, "cluster": cluster}


def main(names: list[str]) -> int:
    """Run the groups and print a table; return 1 if anything failed."""
    unknown = set(names) - set(GROUPS)
    if unknown:
        sys.exit(f"No test group {', '.join(sorted(unknown))}: name some of {', '.join(GROUPS)}, or none for all.")
    os.environ.update({"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0"})
    os.environ.pop("FORCE_COLOR", None)
    total, table = Count(), []
    for group in names or GROUPS:
        for title, step in GROUPS[group]():
            started = time.monotonic()
            count = step()
            total += count
            table.append(f"{title:<28} {count!s:<24} {time.monotonic() - started:6.0f} s")
    print("\n" + "\n".join(table))
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
