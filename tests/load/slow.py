"""Slow clients, and normal clients beside them."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from visitors import CHOICE, LINK, TOKEN, found

CLIENTS = 500
# Maximum seconds of a normal request beside the slow clients.
GOAL_SECONDS = 0.1
# Maximum seconds of the slowest request on a shared machine.
SLOWEST_SECONDS = 0.5

# From the defaults of the role `web`.
LARGEST_BODY = 256000
# Bytes that a client's kernel accepts while the client reads nothing.
WINDOW = 4096


@dataclass(frozen=True)
class Address:
    """Host, port, and Host header of a site."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        place = urllib.parse.urlsplit(url)
        return cls(place.hostname or "", place.port or 80)

    def head(self, line: str, *headers: str) -> bytes:
        return "\r\n".join([line, f"Host: {self.host}:{self.port}", *headers, "", ""]).encode()

    def seconds(self, timeout: float = 20) -> float:
        """Return the seconds of a request for the first page. Raises OSError after the timeout."""
        started = time.monotonic()
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=timeout)) as client:
            client.request("GET", "/")
            response = client.getresponse()
            response.read()
        assert response.status == 200
        return time.monotonic() - started

    def page(self, path: str) -> tuple[str, str]:
        """Return a page and the value of its cookie."""
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=20)) as client:
            client.request("GET", path)
            response = client.getresponse()
            return response.read().decode(), (response.headers["Set-Cookie"] or "").partition(";")[0]

    def vote(self) -> bytes:
        """Return a vote with the largest accepted body. Its last byte has no effect."""
        path = found(LINK, self.page("/")[0])
        form, cookie = self.page(path)
        fields = {"csrfmiddlewaretoken": found(TOKEN, form), "choice": found(CHOICE, form), "filler": ""}
        body = urllib.parse.urlencode(fields).encode().ljust(LARGEST_BODY, b"x")
        origin = f"Origin: http://{self.host}:{self.port}"
        kind = "Content-Type: application/x-www-form-urlencoded"
        length = f"Content-Length: {len(body)}"
        return self.head(f"POST {path}vote/ HTTP/1.1", f"Cookie: {cookie}", origin, kind, length) + body


def status(connection: socket.socket) -> int:
    """Return the status of a response, or 0 if the server closes without one."""
    try:
        line = connection.recv(12)
    except ConnectionError:
        return 0
    return int(line[9:12] or 0)


def connected(address: Address) -> socket.socket:
    """Return a connection with a small receive buffer."""
    connection = socket.socket()
    connection.settimeout(20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    connection.connect((address.host, address.port))
    return connection


@contextmanager
def slow_clients(address: Address, number: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    """Open connections, each with a partial request, and read nothing."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(address)) for _ in range(number)]
        for connection in connections:
            connection.sendall(beginning)
        yield connections
