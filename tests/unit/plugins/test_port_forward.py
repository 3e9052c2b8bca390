"""A port of a pod, forwarded by an API server of these tests that speaks as Kubernetes' does."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.page import from_pod
from kubernetes.client import Configuration
from kubernetes.stream.ws_client import PortForward
from websocket import ABNF

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PAGE = b"HTTP/1.1 302 Found\r\nLocation: /login/\r\nContent-Length: 0\r\n\r\n"


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    return head


def read_frame(connection: socket.socket) -> bytes:
    """Return the content of one frame of a client."""
    received = b""

    def take(number: int) -> bytes:
        nonlocal received
        while len(received) < number:
            received += connection.recv(65536)
        taken, received = received[:number], received[number:]
        return taken

    length = take(2)[1] & 127
    length = struct.unpack("!H", take(2))[0] if length == 126 else length
    mask = take(4)
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(take(length)))


class Api:
    """An API server that takes one connection, and what it received."""

    def __init__(self, listener: socket.socket, status: str) -> None:
        self.listener, self.status = listener, status
        self.request = self.sent = b""

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            self.request = read_head(connection)
            if self.status != "101 Switching Protocols":
                body = b'{"message": "pods \\"web-1\\" is forbidden"}'
                head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                return
            [key] = re.findall(rb"(?i)sec-websocket-key: (\S+)", self.request)
            accepted = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
            upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
            connection.sendall(b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n")
            # Both channels, data and errors, begin with the number of their port.
            for frame in (b"\0" + struct.pack("<H", 8080), b"\1" + struct.pack("<H", 8080)):
                connection.sendall(ABNF(1, 0, 0, 0, ABNF.OPCODE_BINARY, 0, frame).format())
            self.sent = read_frame(connection)
            connection.sendall(ABNF(1, 0, 0, 0, ABNF.OPCODE_BINARY, 0, b"\0" + PAGE).format())
            connection.recv(65536)


@pytest.fixture
def api() -> Iterator[Callable[[str], tuple[Api, Client]]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(status: str) -> tuple[Api, Client]:
            server = Api(listener, status)
            threading.Thread(target=server.serve, daemon=True).start()
            configuration = Configuration(host=f"http://127.0.0.1:{listener.getsockname()[1]}")
            configuration.api_key = {"authorization": "Bearer word"}
            configuration.proxy = configuration.no_proxy = None
            return server, Client(SimpleNamespace(configuration=configuration), "polls")

        yield start


def test_a_page_comes_through_a_forwarded_port(api: Callable[[str], tuple[Api, Client]]) -> None:
    server, client = api("101 Switching Protocols")
    with client.forward("web-1", 8080) as sock:
        answer = from_pod(sock, "https://polls.example.org:8443/page?a=b", 5, tls=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/login/")
    assert server.request.startswith(b"GET /api/v1/namespaces/polls/pods/web-1/portforward?ports=8080 HTTP/1.1")
    assert b"authorization: Bearer word" in server.request
    sent = server.sent.decode()
    assert sent.startswith("\0GET /page?a=b HTTP/1.1\r\n")
    assert "Host: polls.example.org:8443\r\n" in sent
    assert "X-Forwarded-Proto: https\r\n" in sent


def test_a_refused_port_forward_has_the_message_of_the_api(
    api: Callable[[str], tuple[Api, Client]],
) -> None:
    _, client = api("403 Forbidden")
    with (
        pytest.raises(ApiError, match='Port 8080 of pod web-1 cannot be forwarded: pods "web-1" is forbidden'),
        client.forward("web-1", 8080),
    ):
        pass


def test_a_silent_api_is_an_error_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configuration = Configuration(host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        configuration.proxy = configuration.no_proxy = None
        client = Client(SimpleNamespace(configuration=configuration), "polls")
        with (
            pytest.raises(ApiError, match=r"no response within 0\.1 s"),
            client.forward("web-1", 8080, timeout=0.1),
        ):
            pass


def test_a_front_with_a_certificate_is_queried_over_tls(tmp_path: Path) -> None:
    """The certificate need not be valid for the pod, and the socket is that of the library."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    names = ["-subj", "/CN=other", "-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(theirs, server_side=True) as secure:
            read_head(secure)
            secure.sendall(PAGE)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    answer = from_pod(PortForward._Port._Socket(ours), "https://polls.example.org/", 5, tls=True)
    server.join(5)
    assert answer.status == 302
