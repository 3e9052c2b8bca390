"""Generator of requests of `make bench`, with a real server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import generator
import pytest
from generator import Run

PROGRAM = Path(generator.__file__)
LIST = '<a href="/polls/7/">'
FORM = '<input name="choice" value="3"><input name="choice" value="4"><input name="csrfmiddlewaretoken" value="t">'


class Handler(BaseHTTPRequestHandler):
    """A site with one question and the responses of the test. It accepts a vote only with a token and a cookie."""

    protocol_version = "HTTP/1.1"
    status, length, close = 200, True, False
    # After this number of requests, the server closes each connection without a response.
    last = 10**9
    location = "/polls/7/results/"
    seen: Counter[str]

    def do_GET(self) -> None:
        pages = {"/": LIST, "/polls/7/": FORM, "/polls/7/results/": "results"}
        # The generator prepares its requests over connections of its own.
        prepares = self.headers["Connection"] == "close"
        self.answer(200 if prepares else self.status, pages[self.path], **{"Set-Cookie": "csrftoken=c; Path=/"})

    def do_POST(self) -> None:
        fields = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert fields in ("csrfmiddlewaretoken=t&choice=3", "csrfmiddlewaretoken=t&choice=4")
        assert self.headers["Cookie"] == "csrftoken=c"
        assert self.headers["Origin"] == f"http://{self.headers['Host']}"
        self.seen[fields[-1]] += 1
        self.answer(302, "", Location=self.location)

    def answer(self, status: int, page: str, **headers: str) -> None:
        self.seen[self.path] += 1
        if self.seen.total() > self.last:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.length:
            self.send_header("Content-Length", str(len(page)))
        if self.close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(**answer: Any) -> Iterator[tuple[str, Counter[str]]]:
    """Yield the address of a site, and how often each path was requested."""
    seen: Counter[str] = Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Scripted", (Handler,), answer | {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(("page", "path"), [("list", "/"), ("question", "/polls/7/"), ("results", "/polls/7/results/")])
def test_each_response_is_followed_by_a_request(page: str, path: str, close: bool) -> None:
    with site(close=close) as (target, seen):
        sender, seconds = generator.generate(Run([target], page, 3, 0.3))
        times, failed = sender.times, dict(sender.failed)
    assert len(times) == seen[path]
    assert failed == {}
    assert len(times) > 3
    assert all(0 < one < 5 for one in times)
    assert seconds >= 0.3


def test_votes_are_sent_with_the_token_for_all_choices() -> None:
    with site() as (target, seen):
        result = generator.measured(Run([target], "vote", 4, 0.3))
    assert result["requests"] == seen["/polls/7/vote/"] > 4
    assert result["failed"] == {}
    # The choices take turns.
    assert abs(seen["3"] - seen["4"]) <= 1


def test_another_page_is_requested_with_cookies() -> None:
    run = Run(["192.0.2.1:1"], "admin", path="/admin/", cookies="sessionid=s")
    [request] = generator.requests_for(run)
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /admin/ HTTP/1.1"
    assert "Cookie: sessionid=s" in lines
    assert b"Cookie" not in generator.get("/")


def test_a_rejected_vote_is_a_failure() -> None:
    with site(location="/polls/7/") as (target, _):
        result = generator.measured(Run([target], "vote", 1, 0.2))
    assert result["requests"] == 0
    assert result["failed"].keys() == {"not the page: HTTP/1.1 302 Found"}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": 503}, "not the page: HTTP/1.1 503 Service Unavailable"),
        ({"length": False}, "a response without Content-Length"),
        ({"last": 3}, "a connection was closed before the response"),
    ],
)
def test_a_wrong_response_is_counted_and_the_run_continues(answer: dict[str, Any], problem: str) -> None:
    with site(**answer) as (target, _):
        result = generator.measured(Run([target], "list", 1, 0.2))
    assert result["failed"].keys() == {problem}
    assert result["failed"][problem] > 1


def test_a_refused_connection_ends_with_the_run() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = generator.measured(Run([f"127.0.0.1:{taken.getsockname()[1]}"], "list", 2, 0.1))
    assert result["failed"]["ConnectionRefusedError"] > 1
    assert (result["requests"], result["rate"], result["microseconds"]) == (0, 0, [])


def test_without_a_response_all_requests_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        result = generator.measured(Run([f"127.0.0.1:{silent.getsockname()[1]}"], "list", 2, 0.1))
    assert result["failed"] == {"no response within 0.2 s": 2}


def test_a_fixed_rate_is_kept() -> None:
    with site() as (target, seen):
        result = generator.measured(Run([target], "list", 4, 0.5, rate=40))
    assert seen["/"] == result["requests"] == 20


def test_requests_of_the_lead_are_counted_but_not_timed() -> None:
    with site() as (target, seen):
        result = generator.measured(Run([target], "list", 4, 0.5, rate=40, lead=0.25))
    assert seen["/"] == result["requests"] == 20
    assert len(result["microseconds"]) == 10


def test_a_late_response_delays_the_requests_that_wait_for_it() -> None:
    """The seconds of a request begin when it was due, even if its connection was busy then."""
    with site() as (target, _), pytest.MonkeyPatch.context() as patch:
        answer = Handler.answer

        def slow(self: Handler, *arguments: Any, **headers: str) -> None:
            threading.Event().wait(0.1)
            answer(self, *arguments, **headers)

        patch.setattr(Handler, "answer", slow)
        times = generator.generate(Run([target], "list", 1, 0.2, rate=20))[0].times
    assert len(times) == 4
    assert times[-1] > times[0] + 0.1


def test_targets_share_the_connections() -> None:
    with site() as (first, seen_first), site() as (second, seen_second):
        generator.generate(Run([first, second], "list", 4, 0.2))
    assert seen_first["/"] > 0
    assert seen_second["/"] > 0


def test_generator_runs_a_plan_with_only_the_standard_library() -> None:
    with site() as (target, _):
        plan = [{"targets": [target], "page": page, "connections": 2, "seconds": 0.1} for page in ("list", "vote")]
        plan.append({"targets": [target], "page": "list", "text": "/polls/7/"})
        done = subprocess.run(
            [sys.executable, "-I", str(PROGRAM)],
            input=json.dumps(plan) + "\n",
            capture_output=True,
            text=True,
            check=True,
        )
    lists, votes, text = json.loads(done.stdout)
    assert lists["rate"] > 5
    assert len(votes["microseconds"]) == votes["requests"] > 0
    assert votes["microseconds"] == sorted(votes["microseconds"])
    assert 0 < votes["microseconds"][-1] < 5_000_000
    assert votes["seconds"] >= 0.1
    assert text["seconds"] < 5


def test_a_page_without_the_text_fails() -> None:
    with site() as (target, _), pytest.raises(ValueError, match=r"the list does not contain 'new' after 0\.1 s"):
        generator.wait_for_text(Run([target], "list", seconds=0.1, text="new"))


def test_a_site_without_questions_fails_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.answer(200, "no questions"))
    with site() as (target, _), pytest.raises(ValueError, match="the page has no question"):
        generator.requests_for(Run([target], "vote"))


def test_an_unavailable_site_fails_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.answer(503, ""))
    with site() as (target, _), pytest.raises(ValueError, match="/ has status 503"):
        generator.requests_for(Run([target], "results"))
