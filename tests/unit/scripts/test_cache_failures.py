"""Scenario `cache` of `make prove`: its actions, and the goals that it checks, without a cluster."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cache_failures
import pytest
from ground import CACHE
from plays import Failed
from rows import Load

WARNING = json.dumps({"level": "WARNING", "logger": "cloud_django.cache", "message": "The cache does not answer."})


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (WARNING, True),
        (json.dumps({"level": "ERROR", "logger": "polls", "message": "Cache: wrong password"}), True),
        (
            json.dumps(
                {"level": "WARNING", "logger": "cloud_django.cache", "message": "The cache answers again (failed 2)"}
            ),
            False,
        ),
        (json.dumps({"level": "INFO", "logger": "cloud_django.cache", "message": "The cache answers."}), False),
        (json.dumps({"level": "WARNING", "logger": "django.request", "message": "Not Found"}), False),
        ("cache", False),
        ("[1]", False),
    ],
)
def test_warnings_about_the_cache(line: str, counts: bool) -> None:
    assert cache_failures.warnings_in([line, ""]) == counts


class Site:
    """A site whose cache fails, and whose pods log a warning for each failure unless `silent`."""

    app = "polls"

    def __init__(
        self, silent: bool = False, fill: str = "removed after 60", broken: bool = False, slowest: str = "0.29"
    ) -> None:
        self.silent, self.fill, self.broken, self.slowest = silent, fill, broken, slowest
        self.did: list[str] = []
        self.logged: list[str] = []
        self.uid, self.restarted = "first", 0
        self.policy = [{"from": "web"}]
        self.deployed: list[dict[str, Any]] = []
        self.files: list[Path] = []
        self.changed = 3
        self.cluster = SimpleNamespace(log=self.log, exec=self.exec, delete=self.delete)

    def notice(self, name: str) -> None:
        self.did.append(name)
        if not self.silent:
            self.logged.append(WARNING)

    def cache_workload(self) -> tuple[str, str]:
        return "Deployment", "polls-cache"

    @contextmanager
    def load(self) -> Iterator[Load]:
        requests = [
            {"started": at, "ended": at + 0.5, "path": path, "outcome": "ok", "is_vote": path == "/v"}
            for at in range(60)
            for path in ("/", "/v")
        ]
        yield Load(6.0, 100, 0.0, requests, closed=60.0, ended=61.0, votes_after=160)

    def pods(self, component: str = "web") -> list[dict[str, Any]]:
        name = "polls-cache-0" if component == CACHE else "polls-web-a"
        return [{"metadata": {"name": name, "uid": self.uid}}]

    all_pods = pods

    def ready(self, component: str) -> int:
        return 1

    def restarts(self, component: str) -> dict[str, int]:
        return {"polls-cache-0": self.restarted}

    def kill(self, pod: str) -> float:
        assert pod == "polls-cache-0"
        self.restarted += 1
        self.notice("kill")
        return 1.0

    def send(self, name: str, pod: str) -> float:
        assert pod == "polls-cache-0"
        self.did.append(name) if name == "CONT" else self.notice(name)
        return 1.0

    def get(self, kind: str, name: str) -> dict[str, Any]:
        assert (kind, name) == ("NetworkPolicy", "polls-cache")
        return {"spec": {"ingress": self.policy}}

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        self.policy = change["value"]
        self.did.append("allow" if self.policy else "block")

    def delete(self, kind: str, name: str, grace: int) -> None:
        assert self.policy == []
        self.uid = "second"
        self.notice("delete")

    def log(self, pod: str, container: str, previous: bool, lines: int) -> list[str]:
        return self.logged

    def exec(self, pod: str, container: str, command: list[str], timeout: float) -> Any:
        if command[2] == cache_failures.FILL:
            self.did.append("fill")
            return SimpleNamespace(code=0, out=f"{WARNING}\n{self.fill}\n")
        if command[2] == cache_failures.SLOW_DOWN:
            assert (pod, container, command[4:]) == ("polls-cache-0", "valkey", ["10", "0.3", "valkey-server"])
            self.did.append("slow down")
            return SimpleNamespace(code=int(not self.slowest), out="", err="no such process\n")
        if command[2] == cache_failures.SLOWEST:
            assert (container, command[3:]) == ("web", ["5"])
            return SimpleNamespace(code=0, out=f"{WARNING}\n{self.slowest}\n")
        return SimpleNamespace(code=int(self.broken), out="")

    def deploy(self, argument: str, django_environment: dict[str, str]) -> int:
        assert django_environment == {"POLLS_PAGE_SIZE": "1"}
        if argument == "--tags=web":
            return 1
        file = Path(argument.partition("@")[2])
        assert file.is_relative_to("/dev/shm")
        assert file.parent.stat().st_mode & 0o077 == 0
        self.files.append(file)
        self.deployed.append(json.loads(file.read_text(encoding="utf-8")))
        self.did.append("deploy")
        return self.changed

    def wait_until_whole(self, pods: int) -> None:
        pass

    def wait_for_old_pods(self) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check once instead of repeatedly."""

    def eventually(check: Any, seconds: float, what: str) -> Any:
        if not check():
            raise Failed(what)
        return True

    monkeypatch.setattr(cache_failures, "eventually", eventually)
    monkeypatch.setattr(cache_failures, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic))


def test_all_failures_are_caused_and_undone() -> None:
    site = Site()
    row = cache_failures.cache_failures(site)
    assert row.wrong == []
    assert (row.failed, row.votes_acknowledged, row.votes_found) == (0, 60, 60)
    assert row.note == "the slowest request took 0.5 s"
    assert site.did == ["kill", "kill", "STOP", "CONT", "slow down", "fill", "block", "delete", "allow", "deploy"]
    assert site.policy == [{"from": "web"}]
    [variables] = site.deployed
    assert variables["cache_password"].isalnum()
    assert len(variables["cache_password"]) == 32
    assert not site.files[0].exists()


def test_failures_that_no_pod_noticed_are_reported() -> None:
    problems = cache_failures.cache_failures(Site(silent=True)).wrong
    assert problems == [f"{name}: no pod logged a warning about the cache" for name in ("killed", "frozen", "blocked")]


@pytest.mark.parametrize(
    ("slowest", "problem"),
    [
        ("0.02", "slow: each response took at most 0.02 s"),
        ("", "slow: the server was not slowed down: no such process"),
    ],
)
def test_a_cache_that_was_not_slow_is_reported(slowest: str, problem: str) -> None:
    assert cache_failures.cache_failures(Site(slowest=slowest)).wrong == [problem]


@pytest.mark.parametrize("fill", ["kept all of 8192", ""])
def test_a_cache_that_was_not_full_is_reported(fill: str) -> None:
    [problem] = cache_failures.cache_failures(Site(fill=fill)).wrong
    assert problem.startswith("filled: no value removed another one")


def test_a_cache_that_is_not_used_again_is_reported() -> None:
    problems = cache_failures.cache_failures(Site(broken=True)).wrong
    assert len(problems) == 6
    assert problems[0] == "killed: the cache was not used again within 180 s"


def test_a_password_that_changes_nothing_is_reported() -> None:
    site = Site()
    site.changed = 0
    assert cache_failures.cache_failures(site).wrong == ["password changed: the run changed nothing"]


def test_the_cache_is_allowed_and_continued_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_failures, "time", SimpleNamespace(sleep=interrupted))
    site = Site()
    for action in (cache_failures.frozen, cache_failures.blocked):
        with pytest.raises(KeyboardInterrupt):
            action(site)
    assert site.did == ["STOP", "CONT", "block", "delete", "allow"]


def test_the_programs_are_valid_python() -> None:
    for program in (cache_failures.WORKS, cache_failures.FILL, cache_failures.SLOWEST):
        compile(program, "program", "exec")


def test_a_process_is_slowed_down_and_runs_in_the_end(tmp_path: Path) -> None:
    # A name that no other process of this machine has.
    server = tmp_path / secrets.token_hex(7)
    shutil.copy(shutil.which("sleep") or "", server)
    with subprocess.Popen([server, "60"]) as process:

        def states(seconds: float) -> set[str]:
            found, until = set(), time.monotonic() + seconds
            while time.monotonic() < until:
                found.add(Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").split()[2])
                time.sleep(0.02)
            return found

        command = ["sh", "-c", cache_failures.SLOW_DOWN, "sh", "1", "0.1", server.name]
        try:
            subprocess.run(command, check=True, timeout=10)
            # A process that continues can also be seen while it runs (R).
            assert "T" in states(1)
            time.sleep(1.5)
            assert "T" not in states(0.3)
        finally:
            process.kill()
    assert subprocess.run(command, capture_output=True, timeout=10).returncode == 1
