"""Host names that redirect to the public URL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from talk import get, head, send_raw

from conftest import Pod


@pytest.fixture(scope="module")
def redirecting(make_pod: Callable[..., Pod]) -> Pod:
    return make_pod(
        app_public_url="https://shop.example.org",
        app_hosts=["store.example.org"],
        web_redirect_hosts=["www.example.org", "shop.example.com"],
    )


@pytest.mark.parametrize("host", ["www.example.org", "WWW.example.org", "shop.example.com", "www.example.org:8443"])
def test_other_name_redirects_with_path_and_query(redirecting: Pod, host: str) -> None:
    answer = get(redirecting.port, "/a%20b/?c=d&e=%2F", Host=host)
    assert answer.status == 301
    assert answer.headers["Location"] == "https://shop.example.org/a%20b/?c=d&e=%2F"


@pytest.mark.parametrize("host", ["shop.example.org", "store.example.org", "example.org", "xwww.example.org"])
def test_other_names_reach_the_project(redirecting: Pod, host: str) -> None:
    assert get(redirecting.port, "/", Host=host).text == "hello\n"


def test_redirect_stays_on_the_public_host(redirecting: Pod) -> None:
    for path in ("//evil.example/", "/\\evil.example", "@evil.example/", "http://evil.example/"):
        received = send_raw(
            redirecting.port, f"GET {path} HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n".encode()
        )
        [location] = [line for line in received.split(b"\r\n") if line.lower().startswith(b"location:")] or [b""]
        assert not location or location.split()[1].startswith(b"https://shop.example.org/")


def test_no_project_is_needed(redirecting: Pod) -> None:
    assert get(redirecting.port, "/", "POST", b"x=1", Host="www.example.org").status == 301
    assert redirecting.seen("/x") == []


def test_carriage_returns_are_no_headers(redirecting: Pod) -> None:
    received = send_raw(
        redirecting.port,
        head("GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1", "Connection: close").replace(b"site.example", b"www.example.org"),
    )
    assert b"\r\nSet-Cookie" not in received
