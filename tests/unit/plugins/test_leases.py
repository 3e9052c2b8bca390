"""Lease for one run at a time: acquire, take over, renew, and release."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.action.direct import run_here
from ansible_collections.cloud_django.kubernetes.plugins.action.lease import ActionModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import lease as leases
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.lease import Wanted, holder_of, take
from ansible_collections.cloud_django.kubernetes.plugins.modules import lease as lease_module
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import lease_keeper
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.lease_keeper import hold

MINE = Wanted("polls-run", "me@here (process 1, started now)", {"a": "b"})


class Cluster:
    """A cluster with one Lease, stored in a file so that several processes can use it."""

    namespace = "polls"

    def __init__(self, file: Path, namespace_exists_now: bool = True) -> None:
        self.file, self.namespace_exists_now = file, namespace_exists_now

    def namespace_exists(self) -> bool:
        return self.namespace_exists_now

    def path(self, kind: str, name: str) -> str:
        return f"{kind}/{name}"

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        assert (kind, name) == ("Lease", "polls-run")
        try:
            return json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, lease: dict[str, Any]) -> dict[str, Any]:
        version = int((self.get("Lease", "polls-run") or {"metadata": {}})["metadata"].get("resourceVersion", 0))
        lease["metadata"]["resourceVersion"] = str(version + 1)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(lease), encoding="utf-8")
        new.replace(self.file)
        return lease

    def create(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        if not self.namespace_exists_now:
            raise ApiError("The namespace is gone", status=404)
        if self.file.exists():
            raise ApiError("it exists")
        return self.write(lease)

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "", _request_timeout: Any = None
    ) -> dict[str, Any] | None:
        with self.alone():
            return self.answer(method, path, body, content_type)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the Lease, because the API server handles one request at a time."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def answer(self, method: str, path: str, body: Any, content_type: str) -> dict[str, Any] | None:
        found = self.get(*path.split("/"))
        if found is None:
            return None
        if method == "get":
            return found
        if method == "delete":
            assert body["preconditions"]["resourceVersion"] == found["metadata"]["resourceVersion"]
            self.file.unlink()
            return {}
        assert (method, content_type) == ("patch", "application/json-patch+json")
        for operation in body:
            *parents, last = operation["path"].strip("/").split("/")
            place = found
            for parent in parents:
                place = place[parent]
            if operation["op"] == "test" and place.get(last) != operation["value"]:
                raise ApiError("the test failed")
            place[last] = operation["value"]
        return self.write(found)

    def holder(self) -> str:
        return (self.get("Lease", "polls-run") or {"spec": {"holderIdentity": ""}})["spec"]["holderIdentity"]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "lease.json")


class Clock:
    """A clock that advances only during waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases.time, "monotonic", clock.monotonic)
    return clock


def test_a_free_lease_is_acquired(cluster: Cluster, clock: Clock) -> None:
    assert take(cluster, MINE, 0, clock.sleep) == "taken"
    lease = cluster.get("Lease", "polls-run")
    assert lease["spec"]["holderIdentity"] == MINE.holder
    assert lease["metadata"]["labels"] == {"a": "b"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lease["spec"]["renewTime"])
    assert take(cluster, MINE, 0, clock.sleep) == "held"


def test_no_lease_is_acquired_without_a_namespace(tmp_path: Path, clock: Clock) -> None:
    assert take(Cluster(tmp_path / "lease.json", namespace_exists_now=False), MINE, 0, clock.sleep) == "none"


def test_a_renewed_lease_blocks_another_run(cluster: Cluster, clock: Clock) -> None:
    other = Wanted("polls-run", "you@there", {})
    take(cluster, other, 0, clock.sleep)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        assert leases.renew(cluster, other)

    with pytest.raises(ApiError, match=r"Namespace polls is locked by another run: you@there\. Wait for it to finish"):
        take(cluster, MINE, 60, sleep)
    assert 60 <= clock.now < 62
    assert cluster.holder() == "you@there"


def test_an_expired_lease_is_taken_over(cluster: Cluster, clock: Clock) -> None:
    take(cluster, Wanted("polls-run", "you@there", {}), 0, clock.sleep)
    assert take(cluster, MINE, 60, clock.sleep) == "waited"
    assert leases.DURATION < clock.now < leases.DURATION + 2
    assert cluster.holder() == MINE.holder


def test_a_very_old_lease_is_taken_over_without_a_wait(cluster: Cluster, clock: Clock) -> None:
    take(cluster, Wanted("polls-run", "you@there", {}), 0, clock.sleep)
    lease = cluster.get("Lease", "polls-run")
    lease["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
    cluster.write(lease)
    assert take(cluster, MINE, 0, clock.sleep) == "waited"
    assert clock.now == 0


def test_a_wait_for_a_run_that_removes_the_namespace_fails(cluster: Cluster, clock: Clock) -> None:
    take(cluster, Wanted("polls-run", "you@there", {}), 0, clock.sleep)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        cluster.file.unlink()
        cluster.namespace_exists_now = False

    with pytest.raises(ApiError, match="has removed namespace polls"):
        take(cluster, MINE, 60, sleep)


def test_without_a_wait_a_held_lease_fails_immediately(cluster: Cluster, clock: Clock) -> None:
    take(cluster, Wanted("polls-run", "you@there", {}), 0, clock.sleep)
    with pytest.raises(ApiError):
        take(cluster, MINE, 0, clock.sleep)
    assert clock.now <= leases.PAUSE


def test_a_released_lease_is_acquired(cluster: Cluster, clock: Clock) -> None:
    other = Wanted("polls-run", "you@there", {})
    take(cluster, other, 0, clock.sleep)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > 5:
            leases.release(cluster, other)

    assert take(cluster, MINE, 60, sleep) == "waited"
    assert clock.now < 7


def test_a_lost_lease_is_neither_renewed_nor_removed(cluster: Cluster, clock: Clock) -> None:
    take(cluster, MINE, 0, clock.sleep)
    other = Wanted("polls-run", "you@there", {})
    assert leases.patch(cluster, other, cluster.get("Lease", "polls-run")["metadata"]["resourceVersion"])
    assert not leases.renew(cluster, MINE)
    leases.release(cluster, MINE)
    assert cluster.holder() == "you@there"
    # Another run was faster.
    assert not leases.patch(cluster, MINE, "1")


def test_two_processes_have_different_names() -> None:
    mine = holder_of(os.getpid())
    assert re.fullmatch(r".+@.+ \(process \d+, started 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", mine)
    assert mine != holder_of(os.getppid())
    assert mine == holder_of(os.getpid())


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_lease_is_held_until_the_process_exits_for_any_reason(
    cluster: Cluster, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, signal_number: int
) -> None:
    monkeypatch.setattr(lease_keeper, "RENEWAL", 0.1)
    assert hold(lambda: cluster, MINE, process.pid, 0) == "taken"
    first = cluster.get("Lease", "polls-run")["spec"]["renewTime"]
    until(lambda: cluster.get("Lease", "polls-run")["spec"]["renewTime"] > first)
    assert hold(lambda: cluster, MINE, process.pid, 0) == "held"
    process.send_signal(signal_number)
    until(lambda: cluster.holder() == "")


def test_a_run_that_loses_its_lease_is_terminated(
    cluster: Cluster, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "RENEWAL", 0.1)
    hold(lambda: cluster, MINE, process.pid, 0)
    other = Wanted("polls-run", "you@there", {})
    while not leases.patch(cluster, other, cluster.get("Lease", "polls-run")["metadata"]["resourceVersion"]):
        pass
    # Otherwise it would make changes at the same time as the other run.
    assert process.wait(timeout=30) == -signal.SIGTERM
    time.sleep(0.5)
    assert cluster.holder() == "you@there"


def test_a_run_that_removes_the_namespace_continues(
    cluster: Cluster, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "RENEWAL", 0.1)
    hold(lambda: cluster, MINE, process.pid, 0)
    with cluster.alone():
        cluster.file.unlink()
    time.sleep(1)
    assert process.poll() is None
    assert cluster.holder() == ""


def test_the_error_of_the_background_process_is_raised(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    take(cluster, Wanted("polls-run", "you@there", {}), 0)
    with pytest.raises(ApiError, match="by another run: you@there"):
        hold(lambda: cluster, MINE, process.pid, 0)


def test_a_wait_for_another_run_prints_progress(
    cluster: Cluster, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(lease_keeper, "LOOK", 0.05)
    monkeypatch.setattr(progress, "INTERVAL", 0.1)
    monkeypatch.setattr(progress.Screen, "show", staticmethod(lines.append))
    take(cluster, Wanted("polls-run", "you@there", {}), 0)
    with pytest.raises(ApiError, match="by another run: you@there"):
        hold(lambda: cluster, MINE, process.pid, 0.6)
    assert "waiting for Lease polls-run, which another run may hold" in lines[0]


@pytest.mark.parametrize("seconds", [0, 2])
def test_a_process_that_exits_before_or_during_the_wait_gets_no_lease(cluster: Cluster, seconds: int) -> None:
    """The background process must not acquire the Lease for a process that has exited."""
    other = Wanted("polls-run", "you@there", {})
    take(cluster, other, 0)
    process = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
    if not seconds:
        process.wait()
    with pytest.raises(ApiError, match="background process for the Lease has failed"):
        hold(lambda: cluster, MINE, process.pid, 60)
    process.wait()
    assert cluster.holder() == "you@there"


OPTIONS = {"namespace": "polls", "name": "polls-run", "labels": {}, "wait": 0}


@pytest.fixture
def reached(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Connect the module to this cluster."""
    monkeypatch.setattr(lease_module, "connect", lambda module: cluster)
    return cluster


def test_module_alone_holds_no_lease_and_warns(reached: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_here(lease_module.main, OPTIONS)
    assert (result["changed"], result["held"]) == (False, False)
    assert f"(process {os.getpid()}, " in result["holder"]
    assert "No Lease is held" in capsys.readouterr().err
    assert not reached.file.exists()


def test_module_alone_waits_for_the_lease_of_another_run(reached: Cluster) -> None:
    take(reached, Wanted("polls-run", "you@there", {}), 0)
    result = run_here(lease_module.main, OPTIONS)
    assert result["failed"] is True
    assert "by another run: you@there" in result["msg"]
    assert reached.holder() == "you@there"


@pytest.mark.usefixtures("reached")
def test_check_mode_acquires_no_lease(cluster: Cluster) -> None:
    result = run_here(lease_module.main, OPTIONS | {"_ansible_check_mode": True})
    assert result["held"] is False
    assert not cluster.file.exists()


def test_action_holds_the_lease_for_the_playbook(
    reached: Cluster, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: process)
    main = ActionModule._main(MagicMock(), lease_module)
    result = run_here(main, OPTIONS)
    assert result["held"] is True
    assert result["holder"] == holder_of(process.pid) == reached.holder()
    process.kill()
    until(lambda: reached.holder() == "")


def test_the_background_process_closes_descriptors(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    """Otherwise the reader of an inherited pipe would wait until the background process exits."""
    reader, writer = os.pipe()
    assert hold(lambda: cluster, MINE, process.pid, 0) == "taken"
    os.close(writer)
    assert select.select([reader], [], [], 30)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)
    process.kill()
    until(lambda: cluster.holder() == "")
