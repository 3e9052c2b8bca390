"""Many slow connections do not keep the site from answering others."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest
from ground import Ground


@pytest.mark.parametrize(
    ("beginning", "goes_on"),
    [
        (b"", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", True),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 256000\r\n\r\n" + b"x" * 255_999, False),
        (b"GET /static/admin/js/vendor/jquery/jquery.js HTTP/1.1\r\nHost: x\r\n\r\n", False),
    ],
    ids=["silent", "head", "body", "all but the last byte", "not reading"],
)
def test_the_site_serves_on_under_500_slow_connections(ground: Ground, beginning: bytes, goes_on: bool) -> None:
    place = urlsplit(ground.address)
    address = (place.hostname, place.port)
    before = ground.restarts()
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(500)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(beginning)
        times = []
        for turn in range(40):
            started = time.monotonic()
            with closing(http.client.HTTPConnection(*address, timeout=20)) as client:
                client.request("GET", "/")
                assert client.getresponse().status == 200
            times.append(time.monotonic() - started)
            if goes_on and turn % 10 == 0:
                for connection in slow:
                    connection.sendall(b"x")
        print(f"500 slow connections: slowest of 40 requests {max(times):.3f} s")
        assert max(times) < 2
        # None ran out of memory.
        assert ground.restarts() == before
