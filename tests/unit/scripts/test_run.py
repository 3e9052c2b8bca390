"""Counts and output of `make test`, with steps that finish at once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

RUN = Path(__file__).resolve().parents[2] / "run.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a new module for each test."""
    specification = importlib.util.spec_from_file_location("run_all_tests", RUN)
    module = importlib.util.module_from_spec(specification)
    # A dataclass looks up its module.
    monkeypatch.setitem(sys.modules, "run_all_tests", module)
    specification.loader.exec_module(module)
    # The script sets these variables, so restore them for later tests.
    for name in ("NO_COLOR", "ANSIBLE_NOCOLOR", "PY_COLORS"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return module


def test_results_of_all_steps_are_added(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [run.Step("unit", "one", lambda: run.Count(2)), run.Step("unit", "other", lambda: run.Count(1, 1))]
    run.stages = lambda: [[steps]]
    assert run.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed"


def test_failures_are_listed_at_the_end(
    run: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The end of the log shows the failures, because often only the end is at hand."""
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('one', [1, 2])\n"
        "def test_one(one):\n    assert one == 1, 'There are two.'\n"
        "@pytest.fixture\ndef away():\n    yield\n    raise LookupError('gone')\n"
        "def test_other(away):\n    pytest.fail('Away.')\n"
        "@pytest.mark.skip(reason='Skipped tests are counted.')\ndef test_skipped(): ...\n"
    )
    (tmp_path / "test_broken.py").write_text("import nothing_of_the_kind\n")
    (tmp_path / "test_left.py").write_text("import os\ndef test_one():\n    os._exit(9)\n")
    (tmp_path / "test_stop.py").write_text(
        "def test_first(): ...\ndef test_one():\n    print('[ERROR]: As wanted.')\n    raise KeyboardInterrupt\n"
    )
    monkeypatch.setattr(run, "PROJECT", tmp_path)
    run.stages = lambda: [
        [
            [run.Step("unit", "tests", lambda: run.pytest("test_own.py"))],
            [run.Step("unit", "import", lambda: run.pytest("test_broken.py"))],
            [run.Step("unit", "exit", lambda: run.pytest("test_left.py"))],
            [run.Step("unit", "stop", lambda: run.pytest("test_stop.py"))],
            [run.Step("unit", "no test", lambda: run.pytest("none"))],
            [run.Step("unit", "style", lambda: run.command("sh", "-c", "echo too long; echo; exit 3"))],
        ]
    ]
    assert run.main([]) == 1
    *failures, last = capsys.readouterr().out.rpartition("Failures:\n")[2].splitlines()
    expected = [
        "tests: test_own::test_one[2]: AssertionError: There are two.",
        "tests: test_own::test_other: Failed: Away.",
        'tests: test_own::test_other: failed on teardown with "LookupError: gone"',
        "import: test_broken: ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        "import: exit code 2: ",
        "exit: exit code 9: ",
        "stop: exit code 2: ",
        "no test: exit code 4: ",
        "style: exit code 3: too long",
    ]
    assert [failure.startswith(beginning) for failure, beginning in zip(failures, expected, strict=True)] == [True] * 9
    assert "As wanted" not in str(failures)
    assert last == "2 passed, 9 failed"


RECAP = "web : actions=4 successful=3 disabled=0 skipped=0 missing=0 failed=1\n"
BROKEN_OFF = """\
TASK [web : Request too much] **************************************************
[ERROR]: Task failed: It is refused, as wanted.

TASK [Get the page] ************************************************************
[ERROR]: Task failed: The site is unavailable.
Origin: verify.yml:30:7
CRITICAL Ansible return code was 2, command was: ansible-playbook verify.yml
ERROR    [web > verify] \x1b[31mExecuted: Failed\x1b[0m
ERROR    Ansible return code was 2, command was: ansible-playbook verify.yml
DETAILS
"""
BROKEN_OFF_REASON = "task Get the page; Task failed: The site is unavailable.; [web > verify] Executed: Failed"


@pytest.mark.parametrize(
    ("output", "counts", "failures"),
    [
        (BROKEN_OFF + RECAP, (3, 1), (BROKEN_OFF_REASON,)),
        (BROKEN_OFF, (0, 1), (f"exit code 1: {BROKEN_OFF_REASON}",)),
        (RECAP, (3, 1), (RECAP.strip(),)),
        ("CRITICAL 'web' glob failed.  Exiting.\n", (0, 1), ("exit code 1: CRITICAL 'web' glob failed.  Exiting.",)),
        ("", (0, 1), ("exit code 1: ",)),
    ],
)
def test_failed_scenario_reports_the_last_error(
    run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    counts: tuple[int, int],
    failures: tuple[str, ...],
) -> None:
    monkeypatch.setattr(run, "run", lambda *arguments, **_: subprocess.CompletedProcess(arguments, 1, output))
    count = run.molecule("test")
    assert (count.passed, count.failed) == counts
    assert count.failures == failures


def test_steps_are_skipped_without_the_step_that_they_need(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a cluster, hundreds of failures would hide the one that matters."""
    ran = []

    def step(name: str, group: str = "cluster", failed: int = 0, **options: bool) -> object:
        names = tuple(f"test {number}" for number in range(failed))
        return run.Step(group, name, lambda: ran.append(name) or run.Count(1, failed, failures=names), **options)

    run.stages = lambda: [
        [[step("create", failed=1, basis=True), step("tools")]],
        [[step("tests"), step("unit", group="unit", failed=12), step("destroy", always=True)]],
    ]
    assert run.main([]) == 1
    assert ran == ["create", "unit", "destroy"]
    *failures, last = capsys.readouterr().out.rpartition("Failures:\n")[2].splitlines()
    assert failures[:3] == [
        "create: test 0",
        *(f"{name}: was skipped, because 'create' failed" for name in ("tools", "tests")),
    ]
    assert failures[3:] == [*(f"unit: test {number}" for number in range(10)), "unit: and 2 more"]
    assert last == "3 passed, 15 failed"


def test_run_without_passed_tests_fails(run: ModuleType) -> None:
    run.stages = lambda: [[[run.Step("unit", "none", run.Count)]]]
    assert run.main([]) == 1


def test_slowest_items_are_listed(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    times = tuple((float(number), f"test {number}") for number in range(12))
    run.stages = lambda: [[[run.Step("unit", "tests", lambda: run.Count(12, times=times))]]]
    assert run.main([]) == 0
    *named, last = capsys.readouterr().out.rpartition("Slowest tests and actions:\n")[2].splitlines()
    assert [line.split("s  ")[1] for line in named] == [f"test {number}" for number in range(11, 1, -1)]
    assert last == "12 passed, 0 failed"


def test_actions_of_a_scenario_are_timed(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    molecule = tmp_path / "molecule"
    lines = ("INFO     [web > check] Executing", "INFO     [web > check] Executed: Successful", RECAP.strip())
    molecule.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\nsleep 0.5\n" for line in lines))
    molecule.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    [(seconds, name)] = run.molecule("test").times
    assert name == "molecule web > check"
    assert 0.1 <= seconds < 5


def test_output_of_parallel_steps_is_not_mixed(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2, timeout=20)

    def lane(name: str) -> object:
        def print_lines() -> object:
            for number in range(3):
                both.wait()
                run.OUTPUT.write(f"{name} {number}\n")
            return run.Count(1)

        return run.Step("unit", name, print_lines)

    run.stages = lambda: [[[lane("a")], [lane("b")]]]
    assert run.main([]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line[:2] in ("a ", "b ") and len(line) == 3]
    assert lines in (["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"], ["b 0", "b 1", "b 2", "a 0", "a 1", "a 2"])


def test_interrupted_run_starts_no_more_steps(run: ModuleType) -> None:
    ran, begun = [], threading.Event()

    def interrupted() -> object:
        assert begun.wait(20)
        raise KeyboardInterrupt

    def slow() -> object:
        begun.set()
        run.OVER.wait(20)
        return run.Count(1)

    steps = [run.Step("unit", "slow", slow), run.Step("unit", "next", lambda: ran.append("next"))]
    run.stages = lambda: [[[run.Step("unit", "interrupted", interrupted)], steps], [steps]]
    with pytest.raises(KeyboardInterrupt):
        run.main([])
    assert ran == []


def test_each_scenario_runs_once(run: ModuleType) -> None:
    titles = [step.title for stage in run.stages() for lane in stage for step in lane]
    scenarios = {path.parent.name for path in RUN.parent.parent.glob("molecule/*/molecule.yml")}
    found = [title.removeprefix("molecule ") for title in titles if title.startswith("molecule ")]
    assert len(found) == len(set(found))
    assert scenarios - set(found) <= {"cluster_minikube"}
    assert titles[-1] == "destroy the cluster"


def test_the_state_of_molecule_is_reset_before_the_creation(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Molecule would skip a cluster that it created before, also if its node is stopped."""
    commands: list[tuple[str, ...]] = []

    def done(*words: str, **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(words)
        return subprocess.CompletedProcess(words, 0, "")

    monkeypatch.setattr(run, "run", done)
    run.create("cluster").run()
    default = ("--scenario-name", "default")
    assert commands == [("molecule", "reset", *default), ("molecule", "create", *default)]


def test_the_cluster_is_destroyed_last(run: ModuleType) -> None:
    *_, last = (step.title for stage in run.stages() for lane in stage for step in lane)
    assert last == "destroy the cluster"


def test_unknown_group_fails(run: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"Unknown test group units\. Choose from lint, unit, site, cluster"):
        run.main(["units"])


def test_steps_that_create_clusters_run_in_sequence(run: ModuleType) -> None:
    lanes = [[step.title for step in lane] for stage in run.stages() for lane in stage]
    [creating] = [titles for titles in lanes if "commands of the documentation" in titles]
    assert "molecule cluster" in creating
