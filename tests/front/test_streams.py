"""Streams: WebSockets, server-sent events, and content that is too large for the front's buffer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from talk import get, head, raw, read_all, read_exactly

from conftest import Pod

UPGRADE = head(
    "GET /events/socket HTTP/1.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.fixture
def asynchronous(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod whose project has an asynchronous server and a path for streams."""
    pod = make_pod(
        start=False,
        web_front_stream_paths=["/events/*"],
        web_front_max_requests=100,
        web_front_request_timeout=2,
        web_stop_delay=1,
        web_graceful_timeout=3,
    )
    pod.start_project("asynchronous.py")
    pod.start_front()
    return pod


def test_web_socket_stays_open_until_the_pod_terminates(asynchronous: Pod) -> None:
    with raw(asynchronous.port, UPGRADE) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 101 ")
        # Limits of requests do not apply to the WebSocket.
        for _ in range(3):
            connection.sendall(b"\x81\x05hello")
            assert read_exactly(connection, 7) == b"\x81\x05hello"
            time.sleep(1.2)
        assert asynchronous.front
        os.kill(asynchronous.front.pid, signal.SIGTERM)
        started = time.monotonic()
        ending = read_all(connection)
    # Code 1001 means that the server terminates. The client can reconnect to another pod.
    assert ending[:1] == b"\x88"
    assert ending[2:4] == (1001).to_bytes(2)
    assert 0.5 < time.monotonic() - started < 6
    asynchronous.front.wait(10)


def test_other_paths_have_no_web_sockets(asynchronous: Pod) -> None:
    """Otherwise a client could bypass the buffers of the front."""
    with raw(asynchronous.port, UPGRADE.replace(b"/events/socket", b"/socket")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_events_are_streamed_at_the_configured_path(asynchronous: Pod) -> None:
    for path, is_stream in (("/events/1", True), ("/other/events", False)):
        started = time.monotonic()
        with raw(asynchronous.port, head(f"GET {path} HTTP/1.1", "Accept: text/event-stream")) as connection:
            received = b""
            while b"data: 0" not in received:
                received += connection.recv(1000)
            first = time.monotonic() - started
            while b"data: 4" not in received:
                received += connection.recv(1000)
        assert (first < 1) is is_stream, (path, first)
        assert time.monotonic() - started > 1.5


def test_large_response_is_streamed(pod: Pod) -> None:
    before = time.monotonic()
    answer = get(pod.port, "/large?bytes=30000000")
    assert (answer.status, len(answer.body)) == (200, 30_000_000)
    assert time.monotonic() - before < 20


def test_large_body_is_streamed_within_the_limit(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_front_body_limit=5_000_000)
    assert get(pod.port, "/upload", "POST", b"x" * 4_000_000).status == 200
    assert pod.seen("/upload") == ["POST /upload 4000000 4000000"]
    with raw(pod.port, head("POST /upload HTTP/1.1", "Content-Length: 5000001")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
