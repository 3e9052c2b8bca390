"""Send requests for a page over several connections, one at a time on each, and print the results.

A line of standard input has the runs, which follow each other, as a JSON list; see `Run`. The output is a JSON list of
their results; see `measured`. The program uses only Python's standard library, so that it runs in any container.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import selectors
import socket
import sys
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSED = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
COUNTED = re.compile(rb"\r\nlocation: *\S*/results/\r\n", re.IGNORECASE)
LINK = re.compile(r'href="(/polls/\d+/)"')
CHOICE = re.compile(r'name="choice" value="(\d+)"')
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
HOST = "localhost"
TIMEOUT = 10.0  # Seconds for a connection, and without any response.


@dataclass
class Run:
    """Run of requests for a page: `list`, `question`, `results`, `vote`, or another one with its path."""

    # Addresses with ports, which share the connections.
    targets: list[str]
    page: str
    connections: int = 16
    seconds: float = 1.0
    # Requests per second, sent on time even if earlier ones wait. 0 sends the next request after each response.
    rate: float = 0.0
    # Seconds at the beginning whose requests are counted but not timed: they open connections and renew expired pages.
    lead: float = 0.0
    # Path of a page, and the cookies of its requests.
    path: str = ""
    cookies: str = ""
    # Instead of a measurement, request the page until it contains this text.
    text: str = ""


# ---- Requests --------------------------------------------------------------------------------------------------------


def fetch(target: str, path: str) -> tuple[str, str]:
    """Return a page and the cookies that it sets, as a header. Raises ValueError if it isn't the page."""
    host, _, port = target.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": HOST, "Connection": "close"})
        response = connection.getresponse()
        page = response.read().decode(errors="replace")
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"{path} has status {response.status}")
    cookies = [cookie.partition(";")[0] for cookie in response.headers.get_all("Set-Cookie") or []]
    return page, "; ".join(cookies)


def get(path: str, cookies: str = "") -> bytes:
    head = [f"GET {path} HTTP/1.1", f"Host: {HOST}", "Accept-Encoding: identity", *cookie_header(cookies)]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def cookie_header(cookies: str) -> list[str]:
    return [f"Cookie: {cookies}"] if cookies else []


def post(path: str, fields: dict[str, str], cookies: str) -> bytes:
    body = urllib.parse.urlencode(fields)
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Origin: http://{HOST}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        *cookie_header(cookies),
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def found(pattern: re.Pattern[str], page: str, what: str) -> str:
    match = pattern.search(page)
    if not match:
        raise ValueError(f"the page has no {what}")
    return match[1]


def requests_for(run: Run) -> list[bytes]:
    """Return the requests of a page: those of the newest question, and one vote for each of its choices."""
    page, target = run.page, run.targets[0]
    if run.path:
        return [get(run.path, run.cookies)]
    if page == "list":
        return [get("/")]
    question = found(LINK, fetch(target, "/")[0], "question")
    if page == "question":
        return [get(question)]
    if page == "results":
        return [get(f"{question}results/")]
    form, cookies = fetch(target, question)
    found(CHOICE, form, "choice")
    token = TOKEN.search(form)
    fields = {"csrfmiddlewaretoken": token[1]} if token else {}
    return [post(f"{question}vote/", fields | {"choice": choice}, cookies) for choice in CHOICE.findall(form)]


# ---- Responses -------------------------------------------------------------------------------------------------------


def outcome(received: bytes, page: str) -> str | None:
    """Return `ok`, the problem of a response, or None while it is incomplete."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = LENGTH.search(head)
    if not length:
        return "a response without Content-Length"
    if len(body) < int(length[1]):
        return None
    if page == "vote":
        # A rejected vote shows the form again.
        is_expected = head.startswith(b"HTTP/1.1 302 ") and COUNTED.search(head + b"\r\n")
    else:
        is_expected = head.startswith(b"HTTP/1.1 200 ")
    return "ok" if is_expected else f"not the page: {head.splitlines()[0].decode(errors='replace')}"


@dataclass
class Connection:
    """Connection to a target, with at most one active request."""

    target: str
    socket: socket.socket | None = None
    started: float = 0.0
    received: bytes = b""

    def send(self, request: bytes, started: float) -> None:
        """Send a request. `started` is the time when it was due. Raises OSError."""
        self.started, self.received = started, b""
        if self.socket is None:
            host, _, port = self.target.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)

    def close(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket = None


@dataclass
class Sender:
    """Connections of a run, and the seconds of its requests."""

    run: Run
    requests: Iterator[bytes]
    idle: deque[Connection]
    selector: selectors.BaseSelector
    # Requests before this time are counted but not timed.
    timed_from: float
    times: list[float] = field(default_factory=list)
    untimed: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def send(self, started: float) -> None:
        connection = self.idle.popleft()
        try:
            connection.send(next(self.requests), started)
        except OSError as error:
            self.fail(connection, f"{type(error).__name__}")
        else:
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)

    def fail(self, connection: Connection, problem: str) -> None:
        self.failed[problem] += 1
        connection.close()
        self.idle.append(connection)

    def receive(self, connection: Connection) -> None:
        """Read a part of a response, and finish the request if it is the last one."""
        try:
            data = connection.socket.recv(1 << 16)
        except OSError as error:
            data, problem = b"", type(error).__name__
        else:
            problem = None if data else "a connection was closed before the response"
        connection.received += data
        problem = problem or outcome(connection.received, self.run.page)
        if problem is None:
            return
        self.selector.unregister(connection.socket)
        if problem != "ok":
            self.fail(connection, problem)
            return
        if connection.started < self.timed_from:
            self.untimed += 1
        else:
            self.times.append(time.monotonic() - connection.started)
        if CLOSED.search(connection.received.partition(b"\r\n\r\n")[0]):
            connection.close()
        self.idle.append(connection)

    def give_up(self) -> None:
        """Fail all active requests."""
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
            self.fail(key.data, f"no response within {TIMEOUT:g} s")


def generate(run: Run) -> tuple[Sender, float]:
    """Return the sender with the seconds of each successful request, and the seconds of the run.

    With a rate, the seconds of a request begin when it was due, so that they include its wait for a free connection.
    """
    requests = itertools.cycle(requests_for(run))
    targets = itertools.islice(itertools.cycle(run.targets), run.connections)
    # Unlike epoll, select does not round waits up to milliseconds, which would send requests late.
    with selectors.SelectSelector() as selector:
        started = time.monotonic()
        idle = deque(Connection(target) for target in targets)
        sender = Sender(run, requests, idle, selector, timed_from=started + run.lead)
        until, due, ended, sent = started + run.seconds, started, started, 0
        while True:
            # The clock in each step, because a target that refuses connections must not extend the run.
            while (now := time.monotonic()) >= due and sender.idle and due < until and (run.rate or now < until):
                sender.send(due if run.rate else now)
                sent += 1
                # Without a rate, a request is due as soon as a connection is idle. A sum of intervals would be inexact.
                due = started + sent / run.rate if run.rate else due
            is_over = due >= until if run.rate else now >= until
            if is_over and not selector.get_map():
                break
            wait = due - now if run.rate and sender.idle and not is_over else TIMEOUT
            ready = selector.select(timeout=max(0.0, min(wait, TIMEOUT)))
            for key, _ in ready:
                sender.receive(key.data)
            if not ready and wait >= TIMEOUT:
                sender.give_up()
            ended = time.monotonic()
        for connection in sender.idle:
            connection.close()
    return sender, max(ended - started, run.seconds)


def measured(run: Run) -> dict[str, Any]:
    """Return the result of a run: its requests, their microseconds, and failed requests by problem."""
    sender, seconds = generate(run)
    requests = sender.untimed + len(sender.times)
    return {
        "requests": requests,
        "seconds": seconds,
        "rate": requests / seconds,
        "microseconds": sorted(round(1_000_000 * one) for one in sender.times),
        "failed": dict(sender.failed),
    }


def wait_for_text(run: Run) -> dict[str, Any]:
    """Request the list from each target until it contains the text. Raises ValueError after the seconds of the run."""
    started = time.monotonic()
    for target in run.targets:
        while run.text not in fetch(target, "/")[0]:
            if time.monotonic() > started + run.seconds:
                raise ValueError(f"the list does not contain {run.text!r} after {run.seconds:g} s")
            time.sleep(0.2)
    return {"seconds": time.monotonic() - started}


if __name__ == "__main__":
    runs = [Run(**entry) for entry in json.loads(sys.stdin.readline())]
    results = [wait_for_text(run) if run.text else measured(run) for run in runs]
    print(json.dumps(results, separators=(",", ":")))
