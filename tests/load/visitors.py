"""Visitors of the site at a fixed rate, who vote, try nothing twice, and write down what became of each request.

Runs by itself, with nothing but Python's standard library, so that any container can have it. It goes on until its
standard input ends. Each line that it prints is a request, as JSON; see `Request`.
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

TIMEOUT = 10  # Seconds for a connection, and for each part of an answer.
PORTS = range(10000, 65000)
PAUSE = 0.4  # Seconds between the requests of a visitor.
# Seconds before a form is sent: around those after which the front (1 s) and gunicorn (2 s) close an idle connection.
FORM_PAUSES = (0.95, 1.0, 1.05, 1.9, 1.95, 2.0, 2.05, 2.1)

LINK = re.compile(r'href="(/polls/\d+/)"')
STYLE = re.compile(r'rel="stylesheet" href="([^"]+)"')
CHOICE = re.compile(r'name="choice" value="(\d+)"')
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass
class Request:
    """One request. Times are of CLOCK_MONOTONIC, in seconds, which all processes of a machine share."""

    started: float
    path: str
    # Whether it went over a connection that had been used before.
    kept_alive: bool
    is_vote: bool = False
    ended: float = 0.0
    # `ok`; `unavailable`, which is a 503 with a page and Retry-After; or whatever a browser would have shown.
    outcome: str = ""


class Refused(Exception):
    """An answer that is not the page that was asked for; its text is the outcome to write down."""


class Connections:
    """Connections that visitors leave open for each other, as a proxy or a browser does; the oldest is used first."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.idle: deque[http.client.HTTPConnection] = deque()
        self.lock = threading.Lock()
        # Further on than any run that started before and opened fewer connections in a second.
        self.number = int(time.monotonic() * 300)

    def take(self, mine: http.client.HTTPConnection | None) -> http.client.HTTPConnection:
        """Return a connection that is still open as far as one can see, by preference `mine`, or a new one."""
        connection = mine
        while True:
            try:
                connection = connection or self.idle.popleft()
            except IndexError:
                return self.new()
            # Closed by the server while nobody used it: everybody notices that before the next request.
            look = select.poll()
            look.register(connection.sock, select.POLLIN)
            if not look.poll(0):
                return connection
            connection.close()
            connection = None

    def new(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT, source_address=("", self.next_port()))

    def next_port(self) -> int:
        """Return a port that no visitor had for minutes, in this run or the one before.

        A node remembers for two minutes where it sent a connection that nobody answered, and sends one from the same
        port there again. Real visitors have addresses of their own, so it does not happen to them.
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
    """Somebody who looks at the list, votes, and looks at the results."""

    def __init__(self, connections: Connections, keep_alive: bool) -> None:
        self.connections, self.keep_alive = connections, keep_alive
        self.connection: http.client.HTTPConnection | None = None
        self.cookies: dict[str, str] = {}
        self.host = f"{connections.host}:{connections.port}"

    def visit(self) -> None:
        """Make all requests, whatever becomes of the ones before: the rate stays what it is."""
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
        """Vote, and be slow to fill in the form."""
        question = found(LINK, self.ask("/")) or "/polls/1/"
        form = self.ask(question, pause=pause)
        choices, token = CHOICE.findall(form), found(TOKEN, form)
        if choices and token:
            self.ask(f"{question}vote/", {"csrfmiddlewaretoken": token, "choice": random.choice(choices)})
        if self.connection:
            self.connections.give_back(self.connection)

    def ask(self, path: str, fields: dict[str, str] | None = None, pause: float = PAUSE) -> str:
        """Return the page, or nothing if the request failed; either way it is written down, after a pause."""
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
        # In one piece, since others write too.
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
        """Raise Refused for everything but the page that was asked for."""
        if response.status == 503 and response.headers["Retry-After"] and "We will be right back" in page:
            raise Refused("unavailable")
        # A vote was counted if it leads to the results, which a form that is shown again does not.
        if is_vote and not (response.status == 302 and (response.headers["Location"] or "").endswith("/results/")):
            raise Refused(f"vote not taken: status {response.status}")
        if response.status >= 400:
            raise Refused(f"status {response.status}")


def found(pattern: re.Pattern[str], page: str) -> str:
    match = pattern.search(page)
    return match[1] if match else ""


def outcome(error: Exception) -> str:
    """What a browser would call it."""
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
    kind.add_argument("--forms", type=int, help="visitors who send a form at the same time, again and again")
    arguments = parser.parse_args()
    # A visitor who vanishes without a word would be counted by nobody.
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
    """Have visitors at a fixed rate. Each comes when it is due, however many are waiting for the site."""
    first, number, threads = time.monotonic(), 0, deque[threading.Thread]()
    # A visitor makes six requests.
    while not over.wait(max(0.0, first + number * 6 / rate - time.monotonic())):
        # Every other one keeps its connection.
        thread = threading.Thread(target=Visitor(connections, keep_alive=number % 2 == 0).visit)
        thread.start()
        threads.append(thread)
        while threads and not threads[0].is_alive():
            threads.popleft().join()
        number += 1
    for thread in threads:
        thread.join()


def send_forms(connections: Connections, together: int, over: threading.Event) -> None:
    """Have so many visitors send a form at the same time, in rounds, between which the site has nothing to do."""
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
