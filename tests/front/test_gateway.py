"""Gateway of `make prove`, in front of servers of which one aborts each request, like a killed pod."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from talk import get

from conftest import CADDY, PROJECT, free_port, wait_for_port

sys.path.insert(0, str(PROJECT / "bench"))


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    """Server that reads a request, sends a response, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def gateway(folder: Path, addresses: list[str], **load_balancing: Any) -> Iterator[int]:
    from beside import GATEWAY_PORT, gateway_configuration

    port, log, path = free_port(), folder / "gateway.log", folder / "caddy.json"
    configuration = gateway_configuration(addresses)
    [proxy] = configuration["apps"]["http"]["servers"]["gateway"]["routes"][0]["handle"]
    proxy["load_balancing"] |= load_balancing
    # Without this, only one request would reach the server that aborts it.
    del proxy["health_checks"]
    path.write_text(json.dumps(configuration).replace(f":{GATEWAY_PORT}", f":{port}"))
    with log.open("wb") as output:
        process = subprocess.Popen([CADDY, "run", f"--config={path}"], stdout=output, stderr=output)
    try:
        wait_for_port(port, process, log)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("method", "load_balancing", "failed"),
    [
        ("GET", {}, 0),
        # A form may have been processed.
        ("POST", {}, 10),
        ("GET", {"try_duration": 0}, 10),
    ],
    ids=["GET", "POST", "GET without another try"],
)
def test_gateway_repeats_an_aborted_get(
    tmp_path: Path, method: str, load_balancing: dict[str, Any], failed: int
) -> None:
    with (
        server(b"") as broken,
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as well,
        gateway(tmp_path, [broken, well], **load_balancing) as port,
    ):
        body = b"a=b" if method == "POST" else None
        outcomes = Counter(get(port, "/", method, body).status for _ in range(20))
    assert outcomes == Counter({200: 20 - failed} | ({502: failed} if failed else {}))
