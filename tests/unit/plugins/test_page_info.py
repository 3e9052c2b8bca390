"""How page_info waits for a page, against a server of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.modules.page_info import request


class Site(BaseHTTPRequestHandler):
    """Answers with each status once, and with the last one from then on."""

    statuses: list[int]

    def do_GET(self) -> None:
        self.send_response(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


def test_a_page_that_comes_takes_one_attempt(address: str) -> None:
    Site.statuses = [200]
    assert request(address, 5) == 1


def test_a_page_that_is_not_ready_is_requested_again(address: str) -> None:
    Site.statuses = [503, 404, 200]
    assert request(address, 5, pause=0.01) == 3


def test_a_page_that_never_comes_is_an_error_with_its_cause(address: str) -> None:
    Site.statuses = [503]
    with pytest.raises(CloudDjangoError) as error:
        request(address, 0.05, pause=0.04)
    assert str(error.value).startswith(f"The page {address} does not come within 0.05 s")
    assert "503" in str(error.value)


def test_a_page_of_another_status_is_no_page(address: str) -> None:
    Site.statuses = [204]
    with pytest.raises(CloudDjangoError, match="it answers with the status 204"):
        request(address, 0, pause=0)


def test_an_address_that_nobody_listens_at_is_named() -> None:
    with pytest.raises(CloudDjangoError, match="Connection refused"):
        request("http://127.0.0.1:9/", 0, pause=0)
