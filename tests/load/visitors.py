"""Visitors that vote at a fixed rate, never retry, and record the outcome of each request.

The program uses only Python's standard library, so that it runs in any container. It runs until its standard input
ends. Each line of output is a request as JSON; see `Request`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import select
import socket
import sys
import threading
import time
import urllib.parse
from collections import deque
from dataclasses import asdict, dataclass

TIMEOUT = 10  # Seconds for a connection, and for each part of a response.
PORTS = range(10000, 65000)
PAUSE = 0.4  # Seconds between the requests of a visitor.
# Seconds before a form is sent: around the idle timeouts of the front (1 s) and gunicorn (2 s).
FORM_PAUSES = (0.95, 1.0, 1.05, 1.9, 1.95, 2.0, 2.05, 2.1)

LINK = re.compile(r'href="(/polls/\d+/)"')
STYLE = re.compile(r'rel="stylesheet" href="([^"]+)"')
CHOICE = re.compile(r'name="choice" value="(\d+)"')
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass
class Request:
    """Request. Times are from CLOCK_MONOTONIC in seconds, which all processes of a machine share."""

    started: float
    path: str
    # Whether the connection was used before.
    kept_alive: bool
    is_vote: bool = False
    ended: float = 0.0
    # `ok`; `unavailable`, a 503 with a page and Retry-After; or the error that a browser would show.
    outcome: str = ""


class Refused(Exception):
    """Response that is not the expected page; the message is the outcome to record."""


class Connections:
    """Connections that visitors leave open for each other, like a proxy or a browser. The oldest is used first."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.idle: deque[http.client.HTTPConnection] = deque()
        self.lock = threading.Lock()
        # Higher than the ports of earlier runs with fewer connections per second.
        self.number = int(time.monotonic() * 300)

    def take(self, mine: http.client.HTTPConnection | None) -> http.client.HTTPConnection:
        """Return an open connection, preferably `mine`, or a new one."""
        connection = mine
        while True:
            try:
                connection = connection or self.idle.popleft()
            except IndexError:
                return self.new()
            # The server closed the idle connection. Each client detects this before the next request.
            look = select.poll()
            look.register(connection.sock, select.POLLIN)
            if not look.poll(0):
                return connection
            connection.close()
            connection = None

    def new(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT, source_address=("", self.next_port()))

    def next_port(self) -> int:
        """Return a port that no visitor used in the last minutes, in this run or the previous one.

        A node remembers the target of an unanswered connection for two minutes, and sends connections from the same
        port there again. Real visitors have different addresses, so this does not affect them.
        """
        with self.lock:
            while True:
                self.number += 1
                port = PORTS[self.number % len(PORTS)]
                with socket.socket() as attempt, contextlib.suppress(OSError):
                    attempt.bind(("", port))
                    return port

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        if connection.sock is not None:
            self.idle.append(connection)


class Visitor:
    """Visitor that opens the list, votes, and opens the results."""

    def __init__(self, connections: Connections, keep_alive: bool) -> None:
        self.connections, self.keep_alive = connections, keep_alive
        self.connection: http.client.HTTPConnection | None = None
        self.cookies: dict[str, str] = {}
        self.host = f"{connections.host}:{connections.port}"

    def visit(self) -> None:
        """Send all requests, even after failures, so that the rate stays the same."""
        page = self.ask("/")
        question = found(LINK, page) or "/polls/1/"
        self.ask(found(STYLE, page) or "/favicon.ico")
        form = self.ask(question)
        choices, token = CHOICE.findall(form), found(TOKEN, form)
        if choices and token:
            fields = {"csrfmiddlewaretoken": token, "choice": random.choice(choices)}
            self.ask(f"{question}vote/", fields)
        else:
            self.ask(question)
        self.ask(f"{question}results/")
        self.ask(f"{question}results.json")
        if self.connection:
            self.connections.give_back(self.connection)

    def send_form(self, pause: float) -> None:
        """Vote after a pause for the form."""
        question = found(LINK, self.ask("/")) or "/polls/1/"
        form = self.ask(question, pause=pause)
        choices, token = CHOICE.findall(form), found(TOKEN, form)
        if choices and token:
            self.ask(f"{question}vote/", {"csrfmiddlewaretoken": token, "choice": random.choice(choices)})
        if self.connection:
            self.connections.give_back(self.connection)

    def ask(self, path: str, fields: dict[str, str] | None = None, pause: float = PAUSE) -> str:
        """Return the page, or None if the request failed. Record the outcome, then pause."""
        started = time.monotonic()
        connection = self.connections.take(self.connection) if self.keep_alive else self.connections.new()
        request = Request(started, path, connection.sock is not None, fields is not None)
        page = ""
        try:
            page = self.exchange(connection, path, fields)
            request.outcome = "ok"
        except Refused as refused:
            request.outcome = str(refused)
        except (http.client.HTTPException, OSError) as error:
            request.outcome = outcome(error)
            connection.close()
        request.ended = time.monotonic()
        # Write the line at once, because other threads also write.
        sys.stdout.write(json.dumps(asdict(request)) + "\n")
        self.connection = connection if self.keep_alive and connection.sock else None
        if self.connection is None:
            connection.close()
        time.sleep(pause)
        return page

    def exchange(self, connection: http.client.HTTPConnection, path: str, fields: dict[str, str] | None) -> str:
        headers = {"Host": self.host, "Accept": "text/html", "Accept-Encoding": "identity"}
        headers["Connection"] = "keep-alive" if self.keep_alive else "close"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if fields is not None:
            body = urllib.parse.urlencode(fields)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.host}"}
        if connection.sock is None:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.request("GET" if fields is None else "POST", path, body, headers)
        response = connection.getresponse()
        page = response.read().decode(errors="replace")
        for cookie in response.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.judge(response, page, is_vote=fields is not None)
        return page

    @staticmethod
    def judge(response: http.client.HTTPResponse, page: str, is_vote: bool) -> None:
        """Raise Refused unless the response is the expected page."""
        if response.status == 503 and response.headers["Retry-After"] and "We will be right back" in page:
            raise Refused("unavailable")
        # A counted vote redirects to the results. A rejected one shows the form again.
        if is_vote and not (response.status == 302 and (response.headers["Location"] or "").endswith("/results/")):
            raise Refused(f"vote not taken: status {response.status}")
        if response.status >= 400:
            raise Refused(f"status {response.status}")


def found(pattern: re.Pattern[str], page: str) -> str:
    match = pattern.search(page)
    return match[1] if match else ""


def outcome(error: Exception) -> str:
    """Return the name of the error in a browser."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionError | http.client.HTTPException):
        return "reset"
    return f"unreachable: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--rate", type=float, help="requests per second")
    kind.add_argument("--forms", type=int, help="number of visitors that send forms at the same time, repeatedly")
    arguments = parser.parse_args()
    # An unexpected error terminates the program, because no outcome of that visitor would be counted.
    threading.excepthook = lambda failure: (sys.excepthook(*failure[:3]), os._exit(3))
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    threading.stack_size(256 * 1024)
    connections = Connections(arguments.host, arguments.port)
    if arguments.forms:
        send_forms(connections, arguments.forms, over)
    else:
        send_visitors(connections, arguments.rate, over)


def send_visitors(connections: Connections, rate: float, over: threading.Event) -> None:
    """Run visitors at a fixed rate. Each starts on time, even if others still wait for the site."""
    first, number, threads = time.monotonic(), 0, deque[threading.Thread]()
    # Each visitor sends six requests.
    while not over.wait(max(0.0, first + number * 6 / rate - time.monotonic())):
        # Every second visitor keeps its connection.
        thread = threading.Thread(target=Visitor(connections, keep_alive=number % 2 == 0).visit)
        thread.start()
        threads.append(thread)
        while threads and not threads[0].is_alive():
            threads.popleft().join()
        number += 1
    for thread in threads:
        thread.join()


def send_forms(connections: Connections, together: int, over: threading.Event) -> None:
    """Run visitors that send a form at the same time, in rounds with idle time between them."""
    number = 0
    while not over.is_set():
        pause = FORM_PAUSES[number % len(FORM_PAUSES)]
        visitors = [Visitor(connections, keep_alive=True) for _ in range(together)]
        threads = [threading.Thread(target=visitor.send_form, args=[pause]) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        number += 1


if __name__ == "__main__":
    main()
