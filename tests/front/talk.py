"""A client that says what it likes, byte by byte."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """An answer; its seconds are those until the last byte of it."""

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
    """Ask over a connection of its own. An underscore in a header's name stands for a dash."""
    started = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(client):
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        content = response.read()
        return Answer(response.status, response.headers, content, time.monotonic() - started)


@contextlib.contextmanager
def raw(port: int, *parts: bytes, timeout: float = 40):  # type: ignore[no-untyped-def]
    """A connection on which these bytes have been sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for part in parts:
            connection.sendall(part)
        yield connection


def read_exactly(connection: socket.socket, number: int) -> bytes:
    """Return the next bytes, in however many parts they come; fewer if the other side closes."""
    received = b""
    while len(received) < number and (data := connection.recv(number - len(received))):
        received += data
    return received


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or nothing more if it resets."""
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
