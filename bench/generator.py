"""Request a page over several connections, one request at a time on each, and print the result.

It uses only Python's standard library, so that it runs in any container.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSED = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass
class Connection:
    """Connection with an active request."""

    socket: socket.socket
    started: float
    received: bytes = b""


def is_whole(received: bytes) -> bool:
    """Return whether the response is complete. Raises ValueError if it isn't the page."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"not the page: {head.splitlines()[0].decode(errors='replace')}")
    length = LENGTH.search(head)
    if not length:
        raise ValueError("a response without Content-Length")
    return len(body) >= int(length[1])


def generate(host: str, port: int, path: str, connections: int, seconds: float) -> list[float]:
    """Return the seconds of each request. Raises ValueError or OSError if one fails."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n".encode()
    times: list[float] = []
    with selectors.DefaultSelector() as selector:

        def send(opened: socket.socket | None) -> None:
            if opened is None:
                opened = socket.create_connection((host, port), timeout=10)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started = time.monotonic()
            opened.sendall(request)
            selector.register(opened, selectors.EVENT_READ, Connection(opened, started))

        for _ in range(connections):
            send(None)
        until = time.monotonic() + seconds
        while selector.get_map():
            ready = selector.select(timeout=10)
            if not ready:
                raise ValueError("no response within 10 s")
            for key, _ in ready:
                connection: Connection = key.data
                data = connection.socket.recv(1 << 16)
                if not data:
                    raise ValueError("a connection was closed before the response")
                connection.received += data
                if not is_whole(connection.received):
                    continue
                now = time.monotonic()
                times.append(now - connection.started)
                selector.unregister(connection.socket)
                closed = CLOSED.search(connection.received.partition(b"\r\n\r\n")[0])
                if closed or now >= until:
                    connection.socket.close()
                if now < until:
                    send(None if closed else connection.socket)
    return times


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the given percentile of the values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


if __name__ == "__main__":
    target, target_port, page, count, duration = sys.argv[1:]
    measured = generate(target, int(target_port), page, int(count), float(duration))
    print(json.dumps({"rate": len(measured) / float(duration), "p99": percentile(measured, 99)}))
