"""Throughput of a pod with and without its front in `make bench`, without a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import generator
import pytest
import throughput
from plays import Failed


class Handler(BaseHTTPRequestHandler):
    """A site with one page and the responses of the test."""

    protocol_version = "HTTP/1.1"
    status, length, close, answered = 200, True, False, 0

    def do_GET(self) -> None:
        type(self).answered += 1
        self.send_response(self.status)
        if self.length:
            self.send_header("Content-Length", "5")
        if self.close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"polls")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(**answer: Any) -> Iterator[tuple[int, type[Handler]]]:
    handler = type("Scripted", (Handler,), answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], handler
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("close", [False, True])
def test_each_answer_is_followed_by_a_request(close: bool) -> None:
    with site(close=close) as (port, handler):
        times = generator.generate("127.0.0.1", port, "/", 3, 0.3)
        assert len(times) == handler.answered
    assert len(times) > 3
    assert all(0 < seconds < 5 for seconds in times)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [({"status": 503}, "not the page: HTTP/1.1 503"), ({"length": False}, "a response without Content-Length")],
)
def test_response_that_is_not_the_page_fails_the_measurement(answer: dict[str, Any], complaint: str) -> None:
    with site(**answer) as (port, _), pytest.raises(ValueError, match=complaint):
        generator.generate("127.0.0.1", port, "/", 1, 0.2)


def test_generator_needs_only_the_standard_library() -> None:
    with site() as (port, _):
        command = [sys.executable, "-I", str(throughput.GENERATOR), "127.0.0.1", str(port), "/", "2", "0.2"]
        printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert printed["rate"] > 5
    assert 0 < printed["p99"] < 5


def test_the_99th_percentile() -> None:
    assert generator.percentile([*range(1, 101)], 99) == 100
    assert generator.percentile([*range(1000)], 99) == 990
    assert generator.percentile([0.1], 99) == 0.1


def test_runs_are_compared_in_pairs() -> None:
    def run(front: float, alone: float) -> dict[str, throughput.Run]:
        return {
            throughput.FRONT: {"rate": front, "p99": 0.03},
            throughput.ALONE: {"rate": alone, "p99": 0.025},
        }

    # The machine is half as fast for the second pair.
    assert throughput.figures([run(900, 1000), run(450, 500), run(800, 1000)]) == {
        "front_pages_per_second": 800,
        "front_throughput_ratio": 0.9,
        "front_p99_ratio": pytest.approx(1.2),
    }


class Site:
    """A site that records pods and playbooks."""

    app, namespace = "polls", "polls"

    def __init__(self, limits: dict[str, str]) -> None:
        self.limits, self.did, self.memory = limits, [], iter([30.0, 35.0, 39.0, 37.0, 36.0, 38.0])
        self.cluster = SimpleNamespace(
            create=lambda pod: self.did.append(pod["metadata"]["name"]),
            delete=lambda kind, name, grace: self.did.append(f"without {name}"),
            get=lambda kind, name: None,
        )

    def deploy(self, *arguments: str, **variables: Any) -> int:
        assert arguments == ("--tags=web",)
        self.did.append("alone" if "web_front_enabled" in variables else f"{variables.get('web_replicas', 'usual')}")
        return 1

    def template(self) -> dict[str, Any]:
        assert self.did == ["alone"]
        return {"metadata": {"labels": {"component": "web"}}, "spec": {}}

    def pods(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": name},
                "spec": {
                    "resources": {"limits": self.limits},
                    "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}],
                },
                "status": {"podIP": address},
            }
            for name, address in (("polls-web-alone", "192.0.2.2"), ("polls-web-1-2", "192.0.2.1"))
        ]

    def wait_until_whole(self, pods: int) -> None:
        assert pods == 2

    def wait_for_old_pods(self) -> None:
        pass

    def front_memory(self) -> float:
        return next(self.memory)


@pytest.fixture
def site_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(**limits: str) -> Site:
        ground = Site(limits)

        @contextmanager
        def generator_for(_: Site) -> Iterator[Any]:
            def run(target: str, seconds: float) -> throughput.Run:
                ground.did.append(target)
                return {"rate": 900.0 if target.startswith("192.0.2.1:") else 1000.0, "p99": 0.03}

            yield run

        monkeypatch.setattr(throughput, "Ground", lambda plays: ground)
        monkeypatch.setattr(throughput, "generator", generator_for)
        monkeypatch.setattr(throughput, "time", SimpleNamespace(sleep=lambda seconds: None))
        return ground

    return made


def test_both_pods_are_measured_in_turns_and_then_removed(site_with: Any) -> None:
    ground = site_with(cpu="1")
    assert throughput.throughput(SimpleNamespace()) == {
        "front_pages_per_second": 900.0,
        "front_throughput_ratio": 0.9,
        "front_p99_ratio": 1.0,
        "front_idle_mebibytes": 30.0,
        "front_loaded_mebibytes": 39.0,
    }
    targets = ["192.0.2.1:8080", "192.0.2.2:8080"]
    # A warm-up comes first, and the usual pods are restored at the end.
    measured = targets * (1 + throughput.RUNS)
    assert ground.did == ["alone", "1", "polls-web-alone", *measured, "without polls-web-alone", "usual"]


def test_cluster_without_pod_limits_fails(site_with: Any) -> None:
    ground = site_with()
    with pytest.raises(Failed, match="does not support resource limits of whole pods"):
        throughput.throughput(SimpleNamespace())
    assert ground.did[-1] == "without polls-web-alone"
