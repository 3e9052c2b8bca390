"""Effects of killed, hanging, and busy projects, and of slow clients, on other clients."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from talk import Answer, get, head, read_all

from conftest import PROJECT, Pod

IS_ALIVE = PROJECT / "roles" / "web" / "files" / "is_alive.py"


@contextlib.contextmanager
def visits(pod: Pod, path: str, clients: int = 20) -> Iterator[list[tuple[str, int]]]:
    """Run clients that send requests continuously, a fifth of them by POST; return the responses at the end."""
    over, outcomes = threading.Event(), []

    def visit(number: int) -> None:
        method = "GET" if number % 5 else "POST"
        while not over.is_set():
            try:
                outcomes.append((method, get(pod.port, path, method, b"a=b" if method == "POST" else None).status))
            except OSError:
                outcomes.append((method, 0))

    threads = [threading.Thread(target=visit, args=[number]) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join()


# Settings of the role for several processes, to which the front keeps no connections.
SEVERAL = {"WEB_CONCURRENCY": "2", "WEB_THREADS": "4", "WEB_KEEPALIVE": "0"}
BOTH = pytest.mark.parametrize(
    ("settings", "variables"), [({}, {}), (SEVERAL, {"web_workers": 2, "web_threads": 4})], ids=["one", "several"]
)


@BOTH
def test_killed_project_fails_only_requests_that_cannot_be_repeated(
    make_pod: Callable[..., Pod], settings: dict[str, str], variables: dict[str, int]
) -> None:
    pod = make_pod(settings, **variables)
    with visits(pod, "/wait?seconds=0.02") as outcomes:
        time.sleep(1.5)
        pod.kill_project()
        time.sleep(2)
        pod.start_project()
        time.sleep(1.5)
    counted = Counter(outcomes)
    failed = {outcome: number for outcome, number in counted.items() if outcome[1] != 200}
    # Four clients vote at a time. A page that has started cannot be repeated either. The front reports each of them.
    started = [line for line in pod.log() if line["msg"] == "aborting with incomplete response"]
    assert sum(number for (method, _), number in failed.items() if method == "POST") <= 4, failed
    assert sum(number for (method, _), number in failed.items() if method == "GET") <= len(started), failed
    # A project serves eight requests at a time, and so starts at most that many pages.
    assert len(started) <= 8, started
    assert counted["GET", 200] > 200


def test_requests_wait_during_the_back_off_of_a_second_kill(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod()
    pod.kill_project()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(get, pod.port, "/echo", method, b"vote") for method in ("GET", "POST") for _ in range(5)]
        time.sleep(12)
        pod.start_project()
        assert {answer.result().status for answer in waiting} == {200}
    assert len(pod.seen("/echo")) == 10


def test_outage_page_without_a_project(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_front_retry_seconds=1)
    pod.kill_project()
    page, form = get(pod.port, "/"), get(pod.port, "/vote", "POST", b"a=b")
    for answer in (page, form):
        assert (answer.status, answer.headers["Retry-After"], answer.headers["Cache-Control"]) == (503, "5", "no-store")
        assert "We will be right back" in answer.text
        assert 1 <= answer.seconds < 3
    assert "may have been carried out" in form.text
    assert "carried out" not in page.text
    # The front itself is alive, but the pod is not ready.
    assert get(pod.port, pod.live_path).status == 200
    assert pod.probe().status == 502


def test_aborted_form_is_not_repeated(pod: Pod) -> None:
    answer = get(pod.port, "/die", "POST", b"vote")
    assert answer.status == 503
    assert "may have been carried out" in answer.text
    assert len(pod.seen("/die")) == 1


def test_page_that_kills_its_worker_is_not_repeated_indefinitely(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod()
    answer = get(pod.port, "/die")
    assert (answer.status, answer.seconds < 8) == (503, True)
    assert 2 <= len(pod.seen("/die")) <= 25


def test_request_to_an_unresponsive_project_times_out(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_front_response_timeout=1)
    answer = get(pod.port, "/wait?seconds=3", "POST", b"vote")
    assert (answer.status, len(pod.seen("/wait"))) == (503, 1)


@BOTH
def test_probes_do_not_wait_behind_visitors(
    make_pod: Callable[..., Pod], settings: dict[str, str], variables: dict[str, int]
) -> None:
    pod = make_pod(settings, **variables)
    with ThreadPoolExecutor(31) as pool:
        waiting = [pool.submit(get, pod.port, "/wait?seconds=2") for _ in range(30)]
        time.sleep(0.5)
        probes = [ask() for _ in range(20) for ask in (pod.probe, lambda: get(pod.port, pod.live_path))]
        # Other requests for that page count as visitors.
        forged = pool.submit(get, pod.port, "/readyz", X_Front_Probe="0123456789")
        assert not forged.done()
        assert liveness_error(pod) == ""
        assert {answer.result().status for answer in [*waiting, forged]} == {200}
    assert forged.result().seconds > 1
    assert {probe.status for probe in probes} == {200}
    assert max(probe.seconds for probe in probes) < 1


def liveness_error(pod: Pod, seconds: float = 1) -> str:
    """Return the error of the liveness check of the project, which sees only the processes of its container."""
    command = [sys.executable, "-IS", str(IS_ALIVE), str(pod.project_port), "0", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr.strip()


@pytest.fixture
def workers(pod: Pod) -> Iterator[list[int]]:
    """Return the PIDs of the project, the parent first."""
    assert pod.project
    children = Path(f"/proc/{pod.project.pid}/task/{pod.project.pid}/children")
    until = time.monotonic() + 10
    while not children.read_text().split() and time.monotonic() < until:
        time.sleep(0.1)
    yield [pod.project.pid, *map(int, children.read_text().split())]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pod.project.pid, signal.SIGCONT)


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2), slice(None)], ids=["parent", "worker", "all"])
def test_stopped_process_is_detected(pod: Pod, workers: list[int], which: slice) -> None:
    assert liveness_error(pod) == ""
    for number in workers[which]:
        os.kill(number, signal.SIGSTOP)
    assert liveness_error(pod).endswith("of the project is stopped.")
    for number in workers[which]:
        os.kill(number, signal.SIGCONT)
    assert liveness_error(pod) == ""


@pytest.mark.parametrize(
    ("stopped", "found"),
    [(1, "1"), (7, "7"), (9, "9"), (20, ""), (21, "")],
    ids=["first", "worker", "child of a worker", "shell", "child of a shell"],
)
def test_stopped_process_of_a_shell_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int, found: str
) -> None:
    """For a shell of `kubectl exec`, the parent is outside of the container and has the PID 0."""
    for number, parent in {1: 0, 7: 1, 9: 7, 20: 0, 21: 20}.items():
        (tmp_path / str(number)).mkdir()
        state = "T" if number == stopped else "S"
        (tmp_path / str(number) / "stat").write_text(f"{number} (a (b) c) {state} {parent} {number} 0 -1\n")
    specification = importlib.util.spec_from_file_location("is_alive", IS_ALIVE)
    assert specification
    assert specification.loader
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    monkeypatch.setattr(program, "PROCESSES", str(tmp_path))
    assert program.stopped_process() == found


def test_server_that_accepts_no_connections_is_detected() -> None:
    """The server waits for a lock, which no process state shows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-IS", str(IS_ALIVE), str(port), "0", "1"]
        hung = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (hung.returncode, hung.stderr.strip()) == (
            1,
            f"No process of the project accepts connections on 127.0.0.1:{port}.",
        )
    gone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert gone.stderr == f"The project does not listen on 127.0.0.1:{port}: Connection refused.\n"


def test_project_on_the_port_of_the_front_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = str(listener.getsockname()[1])
        command = [sys.executable, "-IS", str(IS_ALIVE), "1", front, "1"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert told == f"The project listens on port {front} of the front. Configure it for 127.0.0.1:1.\n"


# --- Slow clients -----------------------------------------------------------------------------------------------------


def memory(pod: Pod) -> float:
    """Return the memory of the front in MiB."""
    assert pod.front
    status = Path(f"/proc/{pod.front.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


LIMIT = 256000


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        head("POST /slow HTTP/1.1", "Content-Length: 99"),
        head("POST /slow HTTP/1.1", f"Content-Length: {LIMIT}") + b"x" * (LIMIT - 1),
        head("GET /large?bytes=511999 HTTP/1.1"),
    ],
    ids=["silent", "head", "body", "all but one byte", "not reading"],
)
def test_500_slow_clients_do_not_delay_others(
    make_pod: Callable[..., Pod], beginning: bytes, record_property: Callable[[str, object], None]
) -> None:
    pod = make_pod(start=False)
    # Caddy sets this from the memory limit of the container, 384 MiB.
    pod.front_environment |= {"GOMEMLIMIT": "345MiB", "GOGC": "200", "GOMAXPROCS": "1"}
    pod.start_project()
    pod.start_front()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", pod.port))) for _ in range(500)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(beginning)
        # The project responds to clients that send complete requests, even if they read slowly.
        time.sleep(3)
        answers: list[Answer] = [get(pod.port, "/") for _ in range(40)]
        used = memory(pod)
    record_property("seconds", max(answer.seconds for answer in answers))
    record_property("MiB", used)
    print(f"slowest of 40 {max(answer.seconds for answer in answers):.3f} s, front {used:.0f} MiB")
    assert {answer.status for answer in answers} == {200}
    assert pod.seen("/slow") == []
    # A limit for this machine, which runs other tests. The goal is 0.1 s.
    assert sorted(answer.seconds for answer in answers)[35] < 0.5
    assert used < 384


# --- Termination of a pod ---------------------------------------------------------------------------------------------


def test_terminating_front_closes_connections_and_finishes_requests(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_stop_delay=3)
    assert pod.front
    with (
        socket.create_connection(("127.0.0.1", pod.port)) as kept,
        ThreadPoolExecutor(1) as pool,
    ):
        kept.sendall(head("GET / HTTP/1.1"))
        assert b"Connection: close" not in kept.recv(1000)
        slow = pool.submit(get, pod.port, "/wait?seconds=5")
        time.sleep(0.3)
        os.kill(pod.front.pid, signal.SIGTERM)
        time.sleep(1)
        kept.sendall(head("GET / HTTP/1.1"))
        assert b"Connection: close" in read_all(kept)
        # The front still accepts connections, because the nodes may not know yet.
        assert get(pod.port, "/").headers["Connection"] == "close"
        assert slow.result().status == 200
    assert pod.front.wait(10) == 0


def test_termination_has_a_time_limit(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_stop_delay=1, web_graceful_timeout=2)
    assert pod.front
    with ThreadPoolExecutor(1) as pool:
        pool.submit(get, pod.port, "/wait?seconds=8")
        time.sleep(0.3)
        started = time.monotonic()
        os.kill(pod.front.pid, signal.SIGTERM)
        pod.front.wait(10)
        assert 2 < time.monotonic() - started < 6


def test_500_forms_around_the_keep_alive_limit_of_a_server(make_pod: Callable[..., Pod]) -> None:
    """The front closes idle connections before stock gunicorn (2 s), so that no form meets a closed connection."""
    pods = [make_pod({"WEB_KEEPALIVE": "2"}) for _ in range(5)]

    def send(number: int, pause: float) -> int:
        time.sleep(pause)
        return get(pods[number].port, "/echo", "POST", b"vote").status

    def one_at_a_time(number: int) -> list[int]:
        pauses = [limit + offset / 100 for limit in (1, 2) for offset in range(-3, 4)]
        return [send(number, pause) for pause in pauses]

    with ThreadPoolExecutor(25) as pool:
        slow = pool.map(one_at_a_time, range(5))
        quick = pool.map(send, itertools.repeat(0, 430), itertools.cycle([0.0, 0.9, 1.0, 1.1, 2.0]))
        assert Counter(itertools.chain(quick, *slow)) == {200: 500}
    assert sum(len(pod.seen("/echo")) for pod in pods) == 500


def test_connections_are_kept_to_one_process_only(make_pod: Callable[..., Pod]) -> None:
    for settings, variables, kept in (({}, {}, 1), (SEVERAL, {"web_workers": 2, "web_threads": 4}, 10)):
        pod = make_pod(settings, **variables)
        ports = {json.loads(get(pod.port, "/environ").body)["REMOTE_PORT"] for _ in range(10)}
        assert len(ports) == kept
