"""Rows of `make prove`, the goals that they check, and invalid arguments, without a cluster."""

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

import beside
import documents
import failures
import ground
import interrupted
import prove
import pytest
from plays import Failed, Plays
from rows import RATE, Load, Row

PROJECT = Path(__file__).resolve().parents[3]
VISITORS = PROJECT / "tests" / "load" / "visitors.py"
LIST = '<link rel="stylesheet" href="/style.css"><a href="/polls/7/">'
FORM = '<input name="choice" value="3"><input name="csrfmiddlewaretoken" value="t">'


# ---- Visitors --------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """A site with one question. It accepts a vote only with a token and a cookie."""

    protocol_version = "HTTP/1.1"
    # Other outcome of a vote, by the name that the visitors have to use.
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


def visited(port: int, visitors: int, kind: str = "--rate=24", requests: int = 6) -> list[dict[str, Any]]:
    """Run visitors until this number has finished; return their records."""
    command = [sys.executable, str(VISITORS), "127.0.0.1", str(port), kind]
    # Read each line at once, because a busy machine can take long to start.
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        lines = [process.stdout.readline() for _ in range(requests * visitors)]
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
    # Every second visitor keeps its connection.
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
def test_outcome_of_a_vote_is_reported(trouble: str) -> None:
    with site(trouble) as port:
        requests = visited(port, 1)
    assert {request["outcome"] for request in requests if request["is_vote"]} == {trouble}
    assert {request["outcome"] for request in requests if not request["is_vote"]} == {"ok"}


def test_forms_are_sent_together_after_a_pause_over_kept_connections() -> None:
    with site() as port:
        requests = visited(port, 4, "--forms=4", requests=3)
    assert {request["outcome"] for request in requests} == {"ok"}
    votes = [request for request in requests if request["is_vote"]][:4]
    forms = [request for request in requests if request["path"] == "/polls/7/"][:4]
    assert all(vote["kept_alive"] for vote in votes)
    assert min(vote["started"] for vote in votes) - min(form["ended"] for form in forms) >= 0.95
    assert max(vote["started"] for vote in votes) - min(vote["started"] for vote in votes) < 1


def test_a_form_that_meets_a_closed_connection_is_a_failure() -> None:
    with site("reset") as port:
        requests = visited(port, 1, "--forms=1", requests=3)
    assert {request["outcome"] for request in requests if request["is_vote"]} == {"reset"}


def test_visitors_never_retry_a_refused_connection() -> None:
    # The port is bound, so that no other process takes it.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        requests = visited(taken.getsockname()[1], 1)
    assert {request["outcome"] for request in requests} == {"refused"}
    # The visitor has no form, so its third request is not a vote.
    assert not [request for request in requests if request["is_vote"]]
    assert len(requests) % 6 == 0


# ---- Rows ------------------------------------------------------------------------------------------------------------


def request(started: float, path: str = "/", outcome: str = "ok", is_vote: bool = False) -> dict[str, Any]:
    return {"started": started, "ended": started + 0.5, "path": path, "outcome": outcome, "is_vote": is_vote}


def load(requests: list[dict[str, Any]], found: int = 0) -> Load:
    return Load(6.0, 100, 0.0, requests, closed=60.0, ended=61.0, votes_after=100 + found)


def visits(number: int, **vote: Any) -> list[dict[str, Any]]:
    return [entry for at in range(number) for entry in (request(at), request(at + 0.5, "/v", is_vote=True, **vote))]


def test_row_shows_an_unusual_rate() -> None:
    usual, other = Load(RATE, 0, 0.0), Load(60.0, 0, 0.0)
    rows = [load.row("x", note=note) for load in (usual, other) for note in ("", "calm")]
    told = [line.split(" | ")[-1].removesuffix("|").strip() for line in prove.shown(rows)[2:]]
    assert told == ["", "calm", "at 60 requests per second", "calm; at 60 requests per second"]


def test_row_counts_requests_failures_and_votes() -> None:
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
    assert row.wrong == ["1 requests failed, 0 are allowed: {'reset': 1}"]
    assert load(visits(60), found=60).row("x").wrong == []


def test_row_with_missing_visitors_fails() -> None:
    assert load(visits(30), found=30).row("x").problems == ["only 30 visitors started in 60 s"]
    assert load([], found=0).row("x").problems == ["only 0 visitors started in 60 s"]


def test_row_without_votes_fails() -> None:
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
        ({"failed": 1}, "1 requests failed, 0 are allowed"),
        ({"failed": 1, "failures_expected": 1}, ""),
        ({"votes_found": 9}, "1 acknowledged votes are lost"),
        ({"votes_found": 12, "votes_in_doubt": 1}, "1 unexpected votes were found"),
        ({"votes_found": 11, "votes_in_doubt": 1}, ""),
        ({"problems": ["whole again only after 3 s"]}, "whole again only after 3 s"),
    ],
)
def test_missed_goals_of_a_row(changes: dict[str, object], wrong: str) -> None:
    row = Row(
        **{"name": "x", "requests": 100, "failed": 0, "failures_expected": 0, "votes_acknowledged": 10}
        | {"votes_found": 10, "seconds": 1.0}
        | changes
    )
    assert wrong in str(row.wrong)
    assert bool(row.wrong) == bool(wrong)


def test_row_replaces_an_earlier_one_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "RESULTS", tmp_path / "prove.json")
    first, second = Row("a", 1, 0, 0, 0, 0, 1.0), Row("b", 2, 0, 0, 0, 0, 1.0)
    assert prove.store("two", first) == [first]
    # In the order of the list, independent of the order of the runs.
    assert prove.store("rollouts", second) == [second, first]
    assert prove.store("two", second) == [second, second]
    monkeypatch.setattr(documents, "machine", lambda: {"cpus": 99})
    assert prove.store("kills", first) == [first]


def test_row_has_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "RESULTS", tmp_path / "prove.json")
    prove.store("two", Row("a", 1, 0, 0, 0, 0, 1.0, commit="abc"))
    kept = json.loads(prove.RESULTS.read_text())
    assert kept["rows"][0].pop("commit") == "abc"
    # This row was written before rows had commits.
    prove.RESULTS.write_text(json.dumps(kept))
    rows = prove.store("rollouts", Row("b", 1, 0, 0, 0, 0, 1.0, commit="def"))
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
    monkeypatch.setattr(prove, "store", lambda kind, row: kept.append((kind, row.commit)) or [])
    monkeypatch.setattr(prove, "publish", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        prove.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert kept == [("two", "abc-dirty")]
    assert asked == ["full name of v1"]


# ---- Kills -----------------------------------------------------------------------------------------------------------


def failed(started: float, outcome: str = "unavailable", is_vote: bool = False) -> dict[str, Any]:
    return request(started, "/v" if is_vote else "/", outcome, is_vote)


class Broken:
    """A site of three pods with a kill at second 20, and some failed requests."""

    app = "polls"

    def __init__(self, *failures: dict[str, Any], front: bool = True) -> None:
        self.failures, self.front = failures, front
        self.started_again: Counter[str] = Counter()
        self.killed: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.addresses: list[str] = []
        # Fronts that restart although the kill is not meant for them.
        self.fronts = 0
        self.front_falls = False

    def template(self) -> dict[str, Any]:
        project = {"name": "web", "restartPolicy": "Always"}
        return {
            "spec": {"initContainers": [{"name": "front-program"}, project], "containers": [{"name": "front"}]}
            if self.front
            else {"containers": [project]}
        }

    def pods(self) -> list[dict[str, Any]]:
        return [{"metadata": {"name": name}} for name in "abc"]

    def ready(self) -> int:
        return 3

    def restarts(self) -> dict[str, int]:
        return {name: self.started_again[name] for name in "abc"}

    def front_restarts(self) -> int:
        return self.fronts

    def replace_killed_pods(self) -> None:
        pass

    def kill(self, *pods: str, containers: tuple[str, ...] = ()) -> float:
        self.killed.append((pods, tuple(containers)))
        self.started_again.update({pod: len(containers) or (2 if self.front else 1) for pod in pods})
        self.fronts += self.front_falls
        return 20.0

    @contextmanager
    def load(self, places: int = 1, address: str = "") -> Iterator[Load]:
        self.addresses.append(address)
        visited = visits(60)
        acknowledged = 60
        for failure in self.failures:
            visited.append(failure)
        yield load(visited, found=acknowledged)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the waits of the scenarios."""
    monkeypatch.setattr(failures, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic))


def test_only_active_votes_may_fail_when_gunicorn_is_killed() -> None:
    site = Broken(failed(19.8, is_vote=True))
    row = failures.gunicorn_killed(site)
    assert (row.failed, row.failures_expected, row.wrong) == (1, 1, [])
    assert site.killed == [(("a",), ("web",)), (("b",), ("web",)), (("c",), ("web",))]
    assert row.note == "the slowest request took 0.5 s"


@pytest.mark.parametrize(
    ("failure", "front_falls", "wrong"),
    [
        # A GET is repeated, and so is a form that reached no process.
        (failed(19.8), False, "1 requests failed, 0 are allowed"),
        (failed(20.2, is_vote=True), False, "1 requests failed, 0 are allowed"),
        (failed(19.0, is_vote=True), False, "1 requests failed, 0 are allowed"),
        # Allowed failures also have to end with a page.
        (failed(19.8, "reset", is_vote=True), False, "not the page of the front: {'reset': 1}"),
        (failed(19.8, "refused"), False, "not the page of the front: {'refused': 1}"),
        (failed(19.8, is_vote=True), True, "a front was restarted"),
    ],
)
def test_missed_goals_when_gunicorn_is_killed(failure: dict[str, Any], front_falls: bool, wrong: str) -> None:
    site = Broken(failure)
    site.front_falls = front_falls
    assert wrong in str(failures.gunicorn_killed(site).wrong)


def test_gunicorn_is_killed_without_a_front_too() -> None:
    site = Broken(failed(20.1, "refused"), front=False)
    assert "not the page of the front" in str(failures.gunicorn_killed(site, pods=1).wrong)
    assert site.killed == [(("a",), ("web",))]


def test_killed_pods_may_fail_requests_but_lose_no_votes() -> None:
    site = Broken(failed(20.1, "refused"), failed(20.9, "reset"))
    row = failures.kills(site)
    assert site.killed == [(("a",), ()), (("b",), ()), (("c",), ()), (("b", "c"), ())]
    assert (row.failed, row.wrong) == (2, [])
    assert row.note.endswith("whole after 0.0, 0.0, 0.0, 1.4 s")
    # Earlier failures have another cause.
    assert failures.kills(Broken(failed(10.0, "refused"))).wrong != []


def test_acknowledged_votes_lost_with_a_pod_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Broken()
    monkeypatch.setattr(failures, "pods_killed", lambda *_: (load(visits(60), found=59), [20.0]))
    assert failures.kills(site).wrong == ["1 acknowledged votes are lost"]


def test_wait_for_a_killed_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of its containers have to restart."""
    site = Broken()
    monkeypatch.setattr(site, "kill", lambda *pods, containers: site.started_again.update(pods) or 20.0)
    monkeypatch.setattr(failures, "eventually", lambda check, seconds, what: pytest.fail(what) if not check() else None)
    assert failures.killed(site, ["a"], ["web"]) == 20.0
    with pytest.raises(pytest.fail.Exception, match="the pods that were killed"):
        failures.killed(site, ["a"])


@pytest.fixture
def gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def gateway_before(site: Broken) -> Iterator[str]:
        yield "http://192.0.2.1:8099"

    monkeypatch.setattr(failures, "gateway_before", gateway_before)


@pytest.mark.usefixtures("gateways")
def test_behind_a_gateway_no_get_may_fail() -> None:
    site = Broken(failed(19.8, "vote not taken: status 502", is_vote=True))
    row = failures.kills_behind_gateway(site, each=False)
    assert site.killed == [(("a",), ()), (("b", "c"), ())]
    assert site.addresses == ["http://192.0.2.1:8099"]
    assert (row.wrong, row.note) == ([], "0 failed GETs")
    wrong = failures.kills_behind_gateway(Broken(failed(19.8, "status 502")))
    assert wrong.note == "1 failed GETs"
    assert "1 requests failed, 0 are allowed" in str(wrong.wrong)


def pod_of(*ports: dict[str, Any]) -> dict[str, Any]:
    project = {"name": "web", "restartPolicy": "Always"}
    front = {"name": "front", "ports": list(ports)}
    return {"spec": {"initContainers": [project], "containers": [front]}, "status": {"podIP": "192.0.2.7"}}


def test_gateway_repeats_idempotent_requests() -> None:
    address = beside.endpoint(pod_of({"name": "http", "containerPort": 8080}))
    assert address == "192.0.2.7:8080"
    server = beside.gateway_configuration([address])["apps"]["http"]["servers"]["gateway"]
    [proxy] = server["routes"][0]["handle"]
    assert proxy["upstreams"] == [{"dial": address}]
    assert proxy["load_balancing"]["retry_match"] == [{"method": ["GET", "HEAD"]}]


@pytest.mark.parametrize("labels", [None, {"name": "gateway"}, {"name": "other"}])
def test_pod_beside_the_site_is_always_removed(labels: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    existing: dict[str, dict[str, Any]] = {"polls-gateway": {"metadata": {"labels": labels}}} if labels else {}
    done: list[tuple[str, str]] = []

    class Api:
        def __init__(self, dynamic: object, namespace: str, where: str) -> None:
            self.namespace = namespace

        def apply(self, manifest: dict[str, Any]) -> None:
            done.append(("apply", manifest["kind"]))
            existing[self.namespace] = manifest

        def create(self, manifest: dict[str, Any]) -> None:
            done.append(("create", manifest["kind"]))

        def delete(self, kind: str, name: str, grace: int | None = None) -> None:
            done.append(("delete", kind))
            if kind == "Namespace":
                del existing[name]

        def get(self, kind: str, name: str) -> dict[str, Any] | None:
            return existing.get(name)

    def never(*_: object) -> None:
        raise Failed("it does not start")

    monkeypatch.setattr(beside, "Client", Api)
    monkeypatch.setattr(beside, "wait_until_running", never)
    ground = SimpleNamespace(namespace="polls", cluster=SimpleNamespace(dynamic=None, where="here"))
    is_foreign = labels == {"name": "other"}
    with (
        pytest.raises(Failed, match="no measurement created it" if is_foreign else "it does not start"),
        beside.pod_beside(ground, "gateway", "image", ["caddy"], {"caddy.json": "{}"}),
    ):
        pass
    removal = [("delete", "Pod"), ("delete", "Namespace")]
    created = [("apply", "Namespace"), ("create", "ConfigMap"), ("create", "Pod")]
    # That of an interrupted measurement is removed first.
    expected = [*(removal if labels else []), *created, *removal]
    assert done == ([] if is_foreign else expected)
    assert list(existing) == (["polls-gateway"] if is_foreign else [])


def test_forms_are_sent_until_the_number_is_reached(tmp_path: Path) -> None:
    output = tmp_path / "visitors"
    output.write_text("{}\n" * 180)

    @contextmanager
    def visitors(forms: int) -> Iterator[Load]:
        assert forms == 20
        yield Load(30.0, 100, 0.0, visits(60), closed=10.0, ended=12.0, votes_after=160, outputs=[output])

    row = prove.forms(SimpleNamespace(load=visitors), posts=60)
    assert (row.name, row.rate, row.wrong) == ("60 forms sent around the keep-alive limit", 10, [])


# ---- Testbed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def site_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> ground.Ground:
    site = ground.Ground(SimpleNamespace(variable=lambda name: "polls"))
    site.address = "http://127.0.0.1:9/"
    monkeypatch.setattr(site, "votes", lambda: 0)
    return site


def test_wait_for_missing_visitors_times_out(
    site_without_a_cluster: ground.Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "visitors.py"
    program.write_text("import sys, pathlib; sys.stdin.read(); pathlib.Path(__file__).with_name('gone').touch()")
    monkeypatch.setattr(ground, "VISITORS", program)
    monkeypatch.setattr(ground, "VISITORS_START", 0.3)
    with (
        pytest.raises(Failed, match=r"Timed out after 0\.3 s while waiting for the visitors"),
        site_without_a_cluster.load(),
    ):
        pytest.fail("nothing may be done without them")
    assert (tmp_path / "gone").exists()


def killable(**status: Any) -> dict[str, Any]:
    """Return a pod with a front, whose project is a sidecar, and with a completed init container."""
    statuses = {
        "initContainerStatuses": [
            {"name": "front-program", "containerID": "containerd://program", "restartCount": 0},
            {"name": "web", "containerID": "containerd://0123456789abcdef-none", "restartCount": 2},
        ],
        "containerStatuses": [{"name": "front", "containerID": "containerd://front-none", "restartCount": 1}],
    }
    project = {"name": "web", "restartPolicy": "Always"}
    spec = {
        "nodeName": "node",
        "initContainers": [{"name": "front-program"}, project],
        "containers": [{"name": "front"}],
    }
    return {"metadata": {"name": "polls-web-a"}, "spec": spec, "status": statuses | status}


@pytest.mark.parametrize(
    ("containers", "patterns"),
    [
        ((), "-e 0123456789abcdef-none -e front-none"),
        (("web",), "-e 0123456789abcdef-none"),
        (("front",), "-e front-none"),
    ],
)
def test_selected_containers_are_killed(
    containers: tuple[str, ...],
    patterns: str,
    site_without_a_cluster: ground.Ground,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripts: list[str] = []
    monkeypatch.setattr(site_without_a_cluster, "get", lambda kind, name: killable())
    monkeypatch.setattr(ground, "docker", lambda *arguments: scripts.append(arguments[-1]) or "1.0")
    site_without_a_cluster.kill("polls-web-a", containers=containers)
    [script] = scripts
    assert f"grep -ls {patterns} /proc" in script


def test_processes_are_stopped_and_continued(
    site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []
    monkeypatch.setattr(site_without_a_cluster, "get", lambda kind, name: killable())
    monkeypatch.setattr(ground, "docker", lambda *arguments: scripts.append(arguments[-1]) or "1.0")
    for signal_name in ("STOP", "CONT"):
        site_without_a_cluster.send(signal_name, "polls-web-a")
    assert ["kill -STOP $processes" in scripts[0], "kill -CONT $processes" in scripts[1]] == [True, True]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", None])
def test_the_object_of_the_cache_is_found(kind: str | None, site_without_a_cluster: ground.Ground) -> None:
    site_without_a_cluster.__dict__["cluster"] = SimpleNamespace(get=lambda wanted, name: wanted == kind)
    if kind:
        assert site_without_a_cluster.cache_workload() == (kind, "polls-cache")
    else:
        with pytest.raises(Failed, match="The site has no cache"):
            site_without_a_cluster.cache_workload()


def test_the_size_of_the_image_is_that_on_a_node(
    site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_without_a_cluster, "image", lambda: "polls:1")
    images = [
        {"names": ["polls:0"], "sizeBytes": 2**20},
        {"names": ["x@sha256:1", "polls:1"], "sizeBytes": 3 * 2**20},
        {},
    ]
    nodes = [{"status": {}}, {"status": {"images": images}}]
    site_without_a_cluster.__dict__["cluster"] = SimpleNamespace(list=lambda kind: nodes)
    assert site_without_a_cluster.image_size() == 3
    images.pop(1)
    with pytest.raises(Failed, match="No node reports the size of image polls:1"):
        site_without_a_cluster.image_size()


def test_missing_container_is_not_killed(
    site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = killable(containerStatuses=[{"name": "front", "restartCount": 0}])
    monkeypatch.setattr(site_without_a_cluster, "get", lambda kind, name: pod)
    with pytest.raises(Failed, match="Pod polls-web-a has no container front that has started"):
        site_without_a_cluster.kill("polls-web-a", containers=["front"])


def test_restarts_of_all_containers_are_added(
    site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_without_a_cluster, "all_pods", lambda component: [killable()])
    assert site_without_a_cluster.restarts() == {"polls-web-a": 3}
    assert site_without_a_cluster.front_restarts() == 1


def test_a_container_is_found_by_its_name(
    site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = {
        "initContainers": [
            {"name": "front-program", "image": "caddy"},
            {"name": "web", "image": "polls", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "front", "image": "caddy"}],
    }
    monkeypatch.setattr(site_without_a_cluster, "template", lambda: {"spec": containers})
    assert [site_without_a_cluster.image(name) for name in ("web", "front")] == ["polls", "caddy"]
    assert [site_without_a_cluster.path(name) for name in ("web", "front")] == [
        "/spec/template/spec/initContainers/1",
        "/spec/template/spec/containers/0",
    ]
    for search in (site_without_a_cluster.image, site_without_a_cluster.path):
        with pytest.raises(Failed, match="have no container none"):
            search("none")


def test_usage_is_that_of_the_whole_pod(site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def container(name: str, number: int) -> dict[str, Any]:
        memory = {"rssBytes": number * 2**20, "workingSetBytes": 2 * number * 2**20}
        return {"name": name, "cpu": {"usageCoreNanoSeconds": number * 1e9}, "memory": memory}

    pod = {
        "podRef": {"namespace": "polls", "name": "polls-web-a"},
        # A terminated container may have no statistics.
        "containers": [container("front", 10), {"name": "front-program"}, container("web", 50)],
    }
    monkeypatch.setattr(site_without_a_cluster, "all_pods", lambda component: [killable()])
    monkeypatch.setattr(site_without_a_cluster, "nodes", lambda: ["node"])
    api = SimpleNamespace(request=lambda method, path: {"pods": [pod]})
    # A cached property, which would query the cluster before the test replaces it.
    site_without_a_cluster.__dict__["cluster"] = api
    assert site_without_a_cluster.usage() == {"polls-web-a": (60.0, 60 * 2**20)}
    assert site_without_a_cluster.memory() == {"polls-web-a": {"front": 20, "web": 100}}
    assert site_without_a_cluster.front_memory() == 20
    # The kubelet has not measured it yet.
    pod["containers"][0]["memory"] = {"rssBytes": 1}
    assert site_without_a_cluster.memory() == {"polls-web-a": {"web": 100}}
    pod["containers"].pop(0)
    assert site_without_a_cluster.front_memory() == 0


@pytest.mark.parametrize("restarts", [0, 1])
def test_killed_pods_are_replaced(
    restarts: int, site_without_a_cluster: ground.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    monkeypatch.setattr(site_without_a_cluster, "restarts", lambda: {"a": 0, "b": restarts})
    monkeypatch.setattr(site_without_a_cluster, "patch", lambda kind, name, change: did.append(change["path"]))
    monkeypatch.setattr(site_without_a_cluster, "await_rollout", lambda: did.append("wait"))
    site_without_a_cluster.replace_killed_pods()
    path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
    assert did == ([path, "wait"] if restarts else [])


def test_kill_of_a_pod_without_processes_fails(
    site_without_a_cluster: ground.Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = killable()
    monkeypatch.setattr(site_without_a_cluster, "get", lambda kind, name: pod)
    # This machine is the node. The pattern matches no process, so none is killed.
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nshift 4\nprintf "kill() { :; }\\n%s\\n" "$*" | sh\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failed, match="There is no process to signal"):
        site_without_a_cluster.kill("polls-web-a")


# ---- Invalid input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"cluster_provider": "existing"},
        {"cluster_context": "production"},
        {"cluster_kubeconfig": "/home/me/.kube/config"},
    ],
)
def test_other_clusters_are_never_changed_or_removed(
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
    with pytest.raises(Failed, match="instead of a separate cluster"), prove.ground_of("inventory/x", "prove"):
        pass
    assert ran == []
    variables.clear()
    with prove.ground_of("inventory/x", "prove"):
        pass
    assert ran == ["site", "end", "teardown"]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("rollout", "Unknown scenario rollout. Choose from rollouts, affinity, "),
        ("--rate=0", "The rate 0 is invalid. Set it to a number from 1 to 1000."),
    ],
)
def test_invalid_arguments_fail(argument: str, sentence: str) -> None:
    command = [sys.executable, str(PROJECT / "bench" / "prove.py"), "inventory/none", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)


def test_rollouts_continue_until_enough_requests_were_sent(tmp_path: Path) -> None:
    output = tmp_path / "visitors"

    def rolled_out(times: int, requests: int, rate: float = RATE) -> str:
        output.write_text("")

        @contextmanager
        def visitors(places: int) -> Iterator[Load]:
            yield Load(rate, 100, 0.0, votes_after=100, outputs=[output])

        def deploy(*_: object, **__: object) -> int:
            return output.write_text(output.read_text() + "{}\n" * 10)

        return prove.rollouts(
            SimpleNamespace(load=visitors, deploy=deploy, wait_for_old_pods=lambda: None), times, requests
        ).name

    assert rolled_out(2, 35) == "4 rollouts in a row"
    assert rolled_out(5, 35) == "5 rollouts in a row"
    assert rolled_out(1, 35, RATE / 2) == "2 rollouts in a row"


def test_finished_processes_are_ignored() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        handle = os.pidfd_open(process.pid)
        interrupted.kill_processes([handle])
        assert process.wait(20) == -signal.SIGKILL
        interrupted.kill_processes([handle])
        os.close(handle)


def test_running_processes_are_terminated() -> None:
    plays = Plays([], {})
    plays.processes = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True)
        for program in ("pass", "input()")
    ]
    plays.processes[0].wait(20)
    plays.end()
    assert [process.returncode for process in plays.processes] == [0, -signal.SIGTERM]


def test_second_signal_does_not_interrupt_the_removal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="figures that were complete are stored"):
            prove.ended()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_children_of_a_run_are_found() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 30
        while not (found := interrupted.descendants(process.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(found) == 1
        assert found[0] in interrupted.descendants(os.getpid())
        process.communicate(b"\n")
