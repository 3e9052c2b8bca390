"""Run all tests, or the groups given as arguments, and report failures and totals at the end.

The groups are lint, unit, site, and cluster. The last one runs each Molecule scenario on a real cluster.
The group `projects` runs only if it is named. It deploys five public projects, of which `cluster` deploys two.
Independent steps run in parallel, at most two, because a test mostly waits for a single program. The output ends with
the seconds of each step, and the ten slowest tests and actions of scenarios.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
MOLECULE_RECAP = re.compile(r"successful=(\d+).*?failed=(\d+)")
MOLECULE_ACTION = re.compile(r"\[(\S+ > \S+)\] (Executing|Executed)")
# Number of slowest tests and actions, and of failures of a step, to report at the end.
SLOWEST = 10
MOST_FAILURES = 10
# Messages of Ansible about a failed task, and of Molecule about a failed action.
ERRORS = (re.compile(r"^\[ERROR\]: (.+)$", re.MULTILINE), re.compile(r"^ERROR +(\[.+)$", re.MULTILINE))
TASK = re.compile(r"^TASK \[(.+)\] \**$", re.MULTILINE)
COLOR = re.compile(r"\x1b\[[\d;]*m")
GROUPS = ("lint", "unit", "site", "cluster")
# Groups that run only if they are named.
EXTRA_GROUPS = ("projects",)
# Scenarios of the roles that provide a cluster. They do not use the cluster of the other scenarios.
PROVIDERS = ("container_engine", "mirror_builds", "default", "cluster", "cluster_minikube")
# Scenarios that take several minutes, longest first.
LONGEST = ("web", "lifecycle", "image", "postgresql", "cache", "cluster_pin", "processes", "migrations", "superuser")


@dataclass
class Count:
    """Numbers of tests that passed, failed, and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    # A line for each failure, with its name and error.
    failures: tuple[str, ...] = ()
    # Seconds and name of each test or action.
    times: tuple[tuple[float, str], ...] = ()

    def __add__(self, other: Count) -> Count:
        return Count(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.failures + other.failures,
            self.times + other.times,
        )

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


@dataclass(frozen=True)
class Step:
    """Command that counts tests."""

    group: str
    title: str
    run: Callable[[], Count]
    # `basis`: a failure skips the other steps of the group. `always`: the step runs even then.
    basis: bool = False
    always: bool = False


class Output:
    """Output of steps: immediate if a step runs alone, else printed as a whole after the step."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self.lock = threading.Lock()

    def write(self, text: str) -> None:
        if getattr(self.mine, "kept", None) is None:
            print(text, end="", flush=True)
        else:
            self.mine.kept.append(text)

    def keep(self) -> None:
        self.mine.kept = []

    def show(self) -> None:
        with self.lock:
            print("".join(getattr(self.mine, "kept", None) or []), end="", flush=True)
        self.mine.kept = None


OUTPUT = Output()
# Set after an interrupt, so that no lane starts another step.
OVER = threading.Event()
# Failed step of each group that its other steps need.
MISSING: dict[str, str] = {}


def run(*arguments: str, seen: Callable[[str], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the project. Its output is printed, returned, and passed to `seen` line by line."""
    OUTPUT.write(f"\n$ {' '.join(arguments)}\n")
    process = subprocess.Popen(
        arguments, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        OUTPUT.write(line)
        if seen:
            seen(line)
    return subprocess.CompletedProcess(arguments, process.wait(), "".join(lines))


def broken_off(result: subprocess.CompletedProcess[str]) -> Count:
    """Return the failure of a whole command."""
    return Count(failed=1, failures=(f"exit code {result.returncode}: {'; '.join(last_errors(result))}",))


def last_errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the last errors of a playbook or scenario, or the last line of another command."""
    output = COLOR.sub("", result.stdout)
    lines = [line.strip(" =") for line in output.splitlines()]
    # The output of pytest can contain errors of playbooks that tests run.
    kinds = ERRORS if result.args[0] in ("ansible-playbook", "molecule") else ()
    errors = [found[-1] for kind in kinds if (found := list(kind.finditer(output)))]
    # A message of a task does not name the task.
    tasks = TASK.findall(output, 0, errors[0].start()) if errors and errors[0].re is ERRORS[0] else []
    last = [error[1] for error in errors] or list(filter(None, lines))[-1:]
    return [*(f"task {task}" for task in tasks[-1:]), *map(shortened, last)]


def shortened(text: str) -> str:
    """Return the first line of a message, at most 200 characters."""
    return text.strip().partition("\n")[0][:200]


def command(*arguments: str) -> Count:
    """Run a command that counts as one test."""
    result = run(*arguments)
    return broken_off(result) if result.returncode else Count(passed=1)


def pytest(*arguments: str, python: tuple[str, ...] = (sys.executable,)) -> Count:
    """Run pytest and count its tests. A run without tests, or an aborted one, counts as a failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        result = run(*python, "-m", "pytest", f"--junitxml={report}", *arguments)
        try:
            cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError):
            return broken_off(result)
    total = Count()
    for case in cases:
        outcomes = [outcome for outcome in case if outcome.tag in ("failure", "error", "skipped")]
        bad = tuple(failure(case, outcome) for outcome in outcomes if outcome.tag != "skipped")
        # An aborted test has no name.
        passed = not outcomes and case.get("name") is not None
        times = ((float(case.get("time") or 0), name_of(case)),)
        total += Count(passed=int(passed), failed=len(bad), failures=bad, times=times)
    return total if result.returncode == (1 if total.failed else 0) else total + broken_off(result)


def failure(case: ElementTree.Element, outcome: ElementTree.Element) -> str:
    """Return the name and the error of a failed test."""
    message = outcome.get("message") or ""
    # The file could not be imported. The reason is the last line marked with E.
    if message == "collection failure":
        message = (re.findall(r"^E +(.+)$", outcome.text or "", re.MULTILINE) or [message])[-1]
    return f"{name_of(case)}: {shortened(message)}"


def name_of(case: ElementTree.Element) -> str:
    """Return the name of a test in the report of pytest."""
    return "::".join(filter(None, (case.get("classname"), case.get("name"))))


def molecule(*arguments: str) -> Count:
    """Run Molecule and count the actions of the scenario. An aborted scenario counts as a failure."""
    started: dict[str, float] = {}
    times: list[tuple[float, str]] = []

    def seen(line: str) -> None:
        if found := MOLECULE_ACTION.search(COLOR.sub("", line)):
            name, event = found.groups()
            if event == "Executing":
                started[name] = time.monotonic()
            elif name in started:
                times.append((time.monotonic() - started.pop(name), f"molecule {name}"))

    result = run("molecule", *arguments, seen=seen)
    total = Count(times=tuple(times))
    for passed, failed in MOLECULE_RECAP.findall(result.stdout):
        total += Count(int(passed), int(failed))
    if total.failed:
        total.failures = ("; ".join(last_errors(result)),)
    return total if total.failed or not result.returncode else total + broken_off(result)


def lint() -> list[Step]:
    """Return the checks of style and language, except for ansible-lint."""
    commands = {
        "ruff check": ("ruff", "check", "."),
        "ruff format": ("ruff", "format", "--check", "."),
        "yamllint": ("yamllint", "--strict", "."),
        "plain English": (sys.executable, "tests/language.py"),
        "documented variables": (sys.executable, "scripts/document_variables", "--check"),
    }
    return [Step("lint", title, lambda words=words: command(*words)) for title, words in commands.items()]


def ansible_lint() -> Step:
    """Return the check of ansible-lint, which takes several minutes."""
    words = ("env", "ANSIBLE_INVENTORY=inventory/kind", "ansible-lint", "--offline")
    return Step("lint", "ansible-lint", lambda: command(*words))


def unit() -> list[list[Step]]:
    """Return two lanes of tests without a cluster, which take about the same time."""
    plugins = Step("unit", "unit tests of plugins", lambda: pytest("tests/unit/plugins"))
    others = Step("unit", "other unit tests", lambda: pytest("tests/unit", "--ignore=tests/unit/plugins"))
    return [[plugins], [others]]


def site() -> list[Step]:
    """Return the tests of the site with PostgreSQL, the front, and a browser."""
    inventory = f"--inventory={PROJECT / os.environ.get('TEST_INVENTORY', 'inventory/mirrors')}"
    with_database = (sys.executable, "tests/site/with_site.py", "--chdir=django_polls")
    manage = (*with_database, "env", "DJANGO_PUBLIC_URL=https://polls.example.org", "python", "manage.py")
    with_scripts = (sys.executable, "tests/site/with_site.py", "python")
    with_site = (sys.executable, "tests/site/with_site.py", "--serve", "python")
    steps: dict[str, Callable[[], Count]] = {
        "prepare for the site": lambda: command("ansible-playbook", inventory, "tests/site/prepare.yml"),
        "site tests": lambda: pytest(python=(*with_database, "python")),
        "front tests": lambda: pytest("tests/front"),
        "site check": lambda: command(*manage, "check", "--deploy", "--fail-level=WARNING"),
        "site migrations": lambda: command(*manage, "makemigrations", "--check", "--dry-run"),
        "site scripts": lambda: pytest("tests/site", python=with_scripts),
        "browser tests": lambda: pytest("tests/browser", python=with_site),
    }
    return [Step("site", title, run) for title, run in steps.items()]


def scenario(name: str) -> Step:
    """Return a Molecule scenario that keeps the cluster for the next one."""
    return Step("cluster", f"molecule {name}", lambda: molecule("test", "--scenario-name", name, "--destroy", "never"))


def providers() -> list[Step]:
    """Return the scenarios of the roles that provide a cluster."""
    names = [name for name in PROVIDERS if name != "cluster_minikube" or shutil.which("minikube")]
    return [scenario(name) for name in names]


def deployments() -> list[Step]:
    """Return all other scenarios, each in its own namespace, longest first."""
    names = {path.parent.name for path in PROJECT.glob("molecule/*/molecule.yml")} - set(PROVIDERS)
    return [scenario(name) for name in sorted(sorted(names), key=lambda name: (*LONGEST, name).index(name))]


def tool(name: str, lock: str, group: str = "cluster") -> Step:
    """Return the installation of a tool that tests need."""
    return Step(group, f"install {name}", lambda: command("scripts/make_tool_venv", name, f"{lock}/requirements.txt"))


def create(group: str) -> Step:
    """Return the creation of the test cluster.

    It also starts a cluster that an interrupted run left stopped, and installs programs for the other steps. A reset
    comes first, because Molecule skips a cluster that it created before. It removes the files of all scenarios.
    """
    default = ("--scenario-name", "default")
    return Step(
        group,
        "create the cluster",
        lambda: command("molecule", "reset", *default) + molecule("create", *default),
        basis=True,
    )


def destroy(group: str) -> Step:
    """Return the removal of the test cluster."""
    return Step(group, "destroy the cluster", lambda: molecule("destroy", "--scenario-name", "default"), always=True)


def projects() -> list[Step]:
    """Return the tests of all public projects, on a cluster without other tests."""
    tests = Step("projects", "project tests", lambda: pytest("tests/projects"))
    return [create("projects"), tool("projects", "tests/projects", "projects"), tests, destroy("projects")]


def stages() -> list[list[list[Step]]]:
    """Return the stages, which run in sequence. Two lanes of a stage run in parallel, the steps of a lane in sequence.

    The longest lanes of a stage come first, so that both finish at about the same time.
    """
    files = ("--numprocesses=2", "--dist=loadfile")
    on_cluster = Step("cluster", "cluster tests", lambda: pytest("tests/cluster", "-m", "not alone", *files))
    tools = [tool("checkov", "tests/security"), tool("sbom", "scripts/sbom"), tool("projects", "tests/projects")]
    documentation = Step("cluster", "commands of the documentation", lambda: pytest("tests/docs"))
    # These measure or break shared resources.
    alone = [
        Step("cluster", "cluster tests of time", lambda: pytest("tests/cluster", "-m", "alone")),
        Step("cluster", "load tests", lambda: pytest("tests/load")),
        destroy("cluster"),
    ]
    return [
        [[create("cluster"), *tools], lint()],
        [
            # These create clusters. Some machines can't run them in parallel.
            [on_cluster, *providers(), documentation],
            *unit(),
            [ansible_lint()],
            [Step("cluster", "security tests", lambda: pytest("tests/security"))],
            [Step("cluster", "project tests", lambda: pytest("tests/projects", "-m", "quick"))],
            site(),
            *([step] for step in deployments()),
        ],
        [alone],
        [projects()],
    ]


def take(lane: list[Step], together: bool) -> list[tuple[Step, Count, float]]:
    """Run the steps of a lane; return their counts and seconds."""
    results = []
    for step in lane:
        if OVER.is_set():
            break
        started = time.monotonic()
        if together:
            OUTPUT.keep()
        try:
            missing = None if step.always else MISSING.get(step.group)
            count = Count(failed=1, failures=(f"was skipped, because {missing!r} failed",)) if missing else step.run()
        finally:
            OUTPUT.show()
        if step.basis and count.failed:
            MISSING[step.group] = step.title
        results.append((step, count, time.monotonic() - started))
    return results


def main(names: list[str]) -> int:
    """Run the groups and print a table; return 1 if a test failed."""
    known = (*GROUPS, *EXTRA_GROUPS)
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(
            f"Unknown test group {', '.join(sorted(unknown))}. Choose from {', '.join(known)}. "
            f"Default: all but {', '.join(EXTRA_GROUPS)}."
        )
    os.environ.update({"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0"})
    os.environ.pop("FORCE_COLOR", None)
    if not shutil.which("minikube") and "cluster" in (names or GROUPS):
        print("The scenario cluster_minikube is skipped, because minikube is not on PATH.", flush=True)
    total, table, failures = Count(), [], []
    taken_seconds: list[float] = []
    started = time.monotonic()
    for stage in stages():
        wanted = [[step for step in lane if step.group in (names or GROUPS)] for lane in stage]
        lanes = [lane for lane in wanted if lane]
        with ThreadPoolExecutor(max_workers=2) as pool:
            try:
                taken = list(pool.map(partial(take, together=len(lanes) > 1), lanes))
            except BaseException:
                OVER.set()
                raise
        for step, count, seconds in chain.from_iterable(taken):
            total += count
            taken_seconds.append(seconds)
            table.append(f"{step.title:<28} {count!s:<24} {seconds:6.0f} s")
            named, more = count.failures[:MOST_FAILURES], count.failures[MOST_FAILURES:]
            failures += [f"{step.title}: {failure}" for failure in named]
            failures += [f"{step.title}: and {len(more)} more"] if more else []
    print("\n" + "\n".join(table))
    print(f"{'sum of all steps':<53} {sum(taken_seconds):6.0f} s")
    print(f"{'total elapsed time':<53} {time.monotonic() - started:6.0f} s")
    print("\nSlowest tests and actions:")
    for seconds, name in sorted(total.times, reverse=True)[:SLOWEST]:
        print(f"{seconds:6.0f} s  {name}")
    if failures:
        print("\nFailures:\n" + "\n".join(failures))
    print(total, flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
