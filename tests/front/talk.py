"""Client that sends any bytes."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Response; `seconds` is the time until its last byte."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


def get(
    port: int, path: str, method: str = "GET", body: bytes | None = None, timeout: float = 40, **headers: str
) -> Answer:
    """Send a request over a new connection. Underscores in names of headers become dashes."""
    started = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(client):
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        content = response.read()
        return Answer(response.status, response.headers, content, time.monotonic() - started)


@contextlib.contextmanager
def raw(port: int, *parts: bytes, timeout: float = 40):  # type: ignore[no-untyped-def]
    """Yield a connection on which these bytes have been sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for part in parts:
            connection.sendall(part)
        yield connection


def read_exactly(connection: socket.socket, number: int) -> bytes:
    """Return the next bytes, in any number of parts, or fewer if the server closes the connection."""
    received = b""
    while len(received) < number and (data := connection.recv(number - len(received))):
        received += data
    return received


def read_all(connection: socket.socket) -> bytes:
    """Return the bytes until the server closes or resets the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


def send_raw(port: int, *parts: bytes, timeout: float = 40) -> bytes:
    with raw(port, *parts, timeout=timeout) as connection:
        return read_all(connection)


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: site.example", *headers, "", ""]).encode()
