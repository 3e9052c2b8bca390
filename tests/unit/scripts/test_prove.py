"""What `make prove` counts, what it complains about, and what it refuses; without a cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ground
import prove
import pytest
from ground import RATE, Load, Row
from plays import Failed, Plays

PROJECT = Path(__file__).resolve().parents[3]
VISITORS = PROJECT / "tests" / "load" / "visitors.py"
LIST = '<link rel="stylesheet" href="/style.css"><a href="/polls/7/">'
FORM = '<input name="choice" value="3"><input name="csrfmiddlewaretoken" value="t">'


# ---- The visitors ----------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """A site with one question, which takes a vote with a token and a cookie and nothing else."""

    protocol_version = "HTTP/1.1"
    # What happens to a vote instead, by the name that the visitors have to give it.
    trouble = ""

    def do_GET(self) -> None:
        pages = {"/": LIST, "/polls/7/": FORM, "/polls/7/results/": "", "/polls/7/results.json": "", "/style.css": ""}
        self.answer(
            200 if self.path in pages else 404, pages.get(self.path, ""), **{"Set-Cookie": "csrftoken=t; Path=/"}
        )

    def do_POST(self) -> None:
        fields = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.trouble == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif self.trouble == "unavailable":
            self.answer(503, "We will be right back", **{"Retry-After": "10"})
        elif self.trouble == "vote not taken: status 503":
            self.answer(503, "We will be right back")
        elif self.trouble == "vote not taken: status 200":
            self.answer(200, FORM)
        elif self.trouble == "vote not taken: status 302":
            self.answer(302, "", Location="/polls/7/")
        else:
            assert fields == "csrfmiddlewaretoken=t&choice=3"
            assert self.headers["Cookie"] == "csrftoken=t"
            self.answer(302, "", Location="/polls/7/results/")

    def answer(self, status: int, page: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(trouble: str = "") -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Scripted", (Handler,), {"trouble": trouble}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def visited(port: int, visitors: int) -> list[dict[str, Any]]:
    """Have visitors until that many have written down all that they ask for; return what they wrote down."""
    command = [sys.executable, str(VISITORS), "127.0.0.1", str(port), "--rate=24"]
    # Each line as soon as it is there, however long a busy machine takes to start.
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        lines = [process.stdout.readline() for _ in range(6 * visitors)]
        process.stdin.close()
        lines += process.stdout
        watchdog.cancel()
    assert process.returncode == 0
    return [json.loads(line) for line in lines]


def test_each_visitor_makes_six_requests_and_votes_once() -> None:
    with site() as port:
        requests = visited(port, 2)
    assert {request["outcome"] for request in requests} == {"ok"}
    counts = Counter(request["path"] for request in requests)
    assert len(counts) == 6
    assert counts["/"] >= 2
    assert set(counts.values()) == {counts["/"]}
    assert {request["path"] for request in requests if request["is_vote"]} == {"/polls/7/vote/"}
    # Every other one keeps its connection.
    assert {request["kept_alive"] for request in requests} == {True, False}
    assert all(0 <= request["ended"] - request["started"] < 10 for request in requests)


@pytest.mark.parametrize(
    "trouble",
    [
        "reset",
        "unavailable",
        "vote not taken: status 503",
        "vote not taken: status 200",
        "vote not taken: status 302",
    ],
)
def test_what_becomes_of_a_vote_is_told_by_its_name(trouble: str) -> None:
    with site(trouble) as port:
        requests = visited(port, 1)
    assert {request["outcome"] for request in requests if request["is_vote"]} == {trouble}
    assert {request["outcome"] for request in requests if not request["is_vote"]} == {"ok"}


def test_nobody_tries_again_where_nobody_listens() -> None:
    # The port is bound, so that nobody else takes it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        requests = visited(taken.getsockname()[1], 1)
    assert {request["outcome"] for request in requests} == {"refused"}
    # The vote is not one without a form to vote with.
    assert not [request for request in requests if request["is_vote"]]
    assert len(requests) % 6 == 0


# ---- The rows --------------------------------------------------------------------------------------------------------


def request(started: float, path: str = "/", outcome: str = "ok", is_vote: bool = False) -> dict[str, Any]:
    return {"started": started, "ended": started + 0.5, "path": path, "outcome": outcome, "is_vote": is_vote}


def load(requests: list[dict[str, Any]], found: int = 0) -> Load:
    return Load(6.0, 100, 0.0, requests, closed=60.0, ended=61.0, votes_after=100 + found)


def visits(number: int, **vote: Any) -> list[dict[str, Any]]:
    return [entry for at in range(number) for entry in (request(at), request(at + 0.5, "/v", is_vote=True, **vote))]


def test_a_row_tells_a_rate_that_is_not_the_usual_one() -> None:
    usual, other = Load(RATE, 0, 0.0), Load(60.0, 0, 0.0)
    rows = [load.row("x", note=note) for load in (usual, other) for note in ("", "calm")]
    told = [line.split(" | ")[-1].removesuffix("|").strip() for line in prove.shown(rows)[2:]]
    assert told == ["", "calm", "at 60 requests per second", "calm; at 60 requests per second"]


def test_a_row_counts_requests_failures_and_votes() -> None:
    requests = visits(60)
    requests[1]["outcome"] = "reset"
    row = load(requests, found=59).row("x")
    assert (row.requests, row.failed, row.votes_acknowledged, row.votes_found, row.votes_in_doubt) == (
        120,
        1,
        59,
        59,
        1,
    )
    assert row.wrong == ["1 requests failed and 0 may: {'reset': 1}"]
    assert load(visits(60), found=60).row("x").wrong == []


def test_a_row_without_the_visitors_that_were_sent_is_wrong() -> None:
    assert load(visits(30), found=30).row("x").problems == ["only 30 visitors came in 60 s"]
    assert load([], found=0).row("x").problems == ["only 0 visitors came in 60 s"]


def test_a_row_in_which_nobody_votes_is_wrong() -> None:
    assert load([request(at) for at in range(60)]).row("x").problems == ["only 0 of 60 visitors tried to vote"]


def test_in_flight_and_the_last_failure() -> None:
    seen = load([request(1.0), request(1.2, outcome="reset"), request(3.0, outcome="refused"), request(9.0)])
    assert seen.in_flight(1.3) == 2
    assert seen.in_flight(1.6) == 1
    assert seen.last_failure(1.0) == pytest.approx(2.5)
    assert seen.last_failure(1.0, 2.0) == pytest.approx(0.7)
    assert seen.last_failure(5.0) == 0


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, ""),
        ({"failed": 1}, "1 requests failed and 0 may"),
        ({"failed": 1, "failures_expected": 1}, ""),
        ({"votes_found": 9}, "1 acknowledged votes are lost"),
        ({"votes_found": 12, "votes_in_doubt": 1}, "1 votes too many"),
        ({"votes_found": 11, "votes_in_doubt": 1}, ""),
        ({"problems": ["whole again only after 3 s"]}, "whole again only after 3 s"),
    ],
)
def test_what_is_wrong_with_a_row(changes: dict[str, object], wrong: str) -> None:
    row = Row(
        **{"name": "x", "requests": 100, "failed": 0, "failures_expected": 0, "votes_acknowledged": 10}
        | {"votes_found": 10, "seconds": 1.0}
        | changes
    )
    assert wrong in str(row.wrong)
    assert bool(row.wrong) == bool(wrong)


def test_a_row_takes_the_place_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "RESULTS", tmp_path / "prove.json")
    first, second = Row("a", 1, 0, 0, 0, 0, 1.0), Row("b", 2, 0, 0, 0, 0, 1.0)
    assert prove.keep("two", first) == [first]
    # In the order of the list, whichever was made first.
    assert prove.keep("rollouts", second) == [second, first]
    assert prove.keep("two", second) == [second, second]
    monkeypatch.setattr(prove, "machine", lambda: {"cpus": 99})
    assert prove.keep("kills", first) == [first]


def test_a_row_names_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "RESULTS", tmp_path / "prove.json")
    prove.keep("two", Row("a", 1, 0, 0, 0, 0, 1.0, commit="abc"))
    kept = json.loads(prove.RESULTS.read_text())
    assert kept["rows"][0].pop("commit") == "abc"
    # One that was written before rows had commits.
    prove.RESULTS.write_text(json.dumps(kept))
    rows = prove.keep("rollouts", Row("b", 1, 0, 0, 0, 0, 1.0, commit="def"))
    assert [row.commit for row in rows] == ["def", ""]


def test_each_row_is_written_with_the_measured_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[str, str]] = []
    asked: list[str] = []

    def rows(inventory: str, names: list[str], rate: float, upgrade_from: str) -> Iterator[tuple[str, Row]]:
        asked.append(upgrade_from)
        yield "two", Row("a", 1, 0, 0, 0, 0, 1.0)

    monkeypatch.setattr(sys, "argv", ["prove.py", "inventory/x", "--upgrade-from=v1"])
    monkeypatch.setattr(prove, "prove", rows)
    monkeypatch.setattr(prove, "measured_commit", lambda: "abc-dirty")
    monkeypatch.setattr(prove, "commit_before", lambda wanted: f"full name of {wanted}")
    monkeypatch.setattr(prove, "keep", lambda kind, row: kept.append((kind, row.commit)) or [])
    monkeypatch.setattr(prove, "put_into_readme", lambda *_: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        prove.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert kept == [("two", "abc-dirty")]
    assert asked == ["full name of v1"]


# ---- The ground ------------------------------------------------------------------------------------------------------


@pytest.fixture
def site_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> ground.Ground:
    site = ground.Ground(SimpleNamespace(variable=lambda name: "polls"))
    site.address = "http://127.0.0.1:9/"
    monkeypatch.setattr(site, "votes", lambda: 0)
    return site


def test_visitors_that_do_not_come_are_not_waited_for_for_ever(
    site_without_a_cluster: ground.Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "visitors.py"
    program.write_text("import sys, pathlib; sys.stdin.read(); pathlib.Path(__file__).with_name('gone').touch()")
    monkeypatch.setattr(ground, "VISITORS", program)
    monkeypatch.setattr(ground, "VISITORS_START", 0.3)
    with pytest.raises(Failed, match=r"no end of waiting for the visitors: 0\.3 s"), site_without_a_cluster.load():
        pytest.fail("nothing may be done without them")
    assert (tmp_path / "gone").exists()


def test_a_pod_without_a_process_is_not_taken_for_killed(
    site_without_a_cluster: ground.Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = {
        "spec": {"nodeName": "node"},
        "status": {"containerStatuses": [{"name": "web", "containerID": "containerd://0123456789abcdef-none"}]},
    }
    monkeypatch.setattr(site_without_a_cluster, "get", lambda kind, name: pod)
    # This machine is the node, on which nothing is killed, whatever becomes of the pattern.
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nshift 4\nprintf "kill() { :; }\\n%s\\n" "$*" | sh\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failed, match="There is no process to kill"):
        site_without_a_cluster.kill("polls-web-a")


# ---- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"cluster_provider": "existing"},
        {"cluster_context": "production"},
        {"cluster_kubeconfig": "/home/me/.kube/config"},
    ],
)
def test_another_cluster_is_neither_broken_nor_removed(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "cluster_provider": "kind",
        "cluster_context": "kind-cloud-django-prove",
        "cluster_kubeconfig": "/state/cloud-django-prove/kubeconfig",
        "app_namespace": "polls",
        "app_name": "polls",
    }
    ran: list[str] = []

    class Recorded:
        output = ""

        def __init__(self, *_: object, **__: object) -> None:
            self.told = own | variables

        def variable(self, name: str) -> str:
            return self.told[name]

        def end(self) -> None:
            ran.append("end")

        def __call__(self, playbook: str, *_: object, **__: object) -> int:
            ran.append(playbook)
            return 0

    monkeypatch.setattr(prove, "Plays", Recorded)
    with pytest.raises(Failed, match="and not to a cluster of its own"), prove.ground_of("inventory/x", "prove"):
        pass
    assert ran == []
    variables.clear()
    with prove.ground_of("inventory/x", "prove"):
        pass
    assert ran == ["site", "end", "teardown"]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("rollout", "No row rollout: name some of rollouts, affinity, "),
        ("--rate=0", "No rate of 0 requests per second: give one between 1 and 1000."),
    ],
)
def test_what_cannot_be_made_is_refused(argument: str, sentence: str) -> None:
    command = [sys.executable, str(PROJECT / "bench" / "prove.py"), "inventory/none", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)


def test_rollouts_go_on_until_there_were_enough_requests(tmp_path: Path) -> None:
    output = tmp_path / "visitors"

    def rolled_out(times: int, requests: int, rate: float = RATE) -> str:
        output.write_text("")

        @contextmanager
        def visitors(places: int) -> Iterator[Load]:
            yield Load(rate, 100, 0.0, votes_after=100, outputs=[output])

        def deploy(*_: object, **__: object) -> int:
            return output.write_text(output.read_text() + "{}\n" * 10)

        return prove.rollouts(SimpleNamespace(load=visitors, deploy=deploy, settle=lambda: None), times, requests).name

    assert rolled_out(2, 35) == "4 rollouts in a row"
    assert rolled_out(5, 35) == "5 rollouts in a row"
    assert rolled_out(1, 35, RATE / 2) == "2 rollouts in a row"


def test_processes_that_have_ended_are_no_trouble() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        handle = os.pidfd_open(process.pid)
        prove.end_processes([handle])
        assert process.wait(20) == -signal.SIGKILL
        prove.end_processes([handle])
        os.close(handle)


def test_what_was_started_and_goes_on_is_ended() -> None:
    plays = Plays([], {})
    plays.processes = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True)
        for program in ("pass", "input()")
    ]
    plays.processes[0].wait(20)
    plays.end()
    assert [process.returncode for process in plays.processes] == [0, -signal.SIGTERM]


def test_a_second_signal_does_not_disturb_the_end_of_a_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="those that were are kept"):
            prove.ended()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_children_of_a_run_are_found() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 30
        while not (found := prove.descendants(process.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(found) == 1
        assert found[0] in prove.descendants(os.getpid())
        process.communicate(b"\n")
