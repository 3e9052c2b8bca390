"""Requests that the front forwards or refuses, and the headers that it adds for the project."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from talk import get, head, raw, read_all, send_raw

from conftest import Pod

LIMIT = 256000


@pytest.fixture(scope="module")
def hasty(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod with a request timeout of 2 s."""
    return make_pod(web_front_request_timeout=2)


def environ(pod: Pod, **headers: str) -> dict[str, str]:
    return json.loads(get(pod.port, "/environ", **headers).body)


# --- Complete requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [500, 5000, 50_000, LIMIT])
@pytest.mark.parametrize("ending", ["close", "shutdown", "silence"])
def test_aborted_body_does_not_reach_the_project(hasty: Pod, size: int, ending: str) -> None:
    path = f"/cut-{size}-{ending}"
    request = head(f"POST {path} HTTP/1.1", f"Content-Length: {size}", "Content-Type: text/plain")
    with raw(hasty.port, request, b"x" * (size - 1)) as connection:
        if ending == "close":
            connection.close()
            time.sleep(0.5)
        elif ending == "shutdown":
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)
        else:
            assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    time.sleep(0.2)
    assert hasty.seen(path) == []


def test_aborted_chunked_body_does_not_reach_the_project(hasty: Pod) -> None:
    with raw(hasty.port, head("POST /chunk HTTP/1.1", "Transfer-Encoding: chunked"), b"5\r\nhello\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    assert hasty.seen("/chunk") == []


def test_chunked_body_is_complete(pod: Pod) -> None:
    request = head("POST /echo HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close")
    assert send_raw(pod.port, request, b"5\r\nhello\r\n0\r\n\r\n").endswith(b"\r\n\r\nhello")
    assert pod.seen("/echo")[-1].startswith("POST /echo 5")


def test_largest_body_is_accepted_and_a_larger_one_is_refused(pod: Pod) -> None:
    assert len(get(pod.port, "/echo", "POST", b"x" * LIMIT).body) == LIMIT
    refused = get(pod.port, "/over", "POST", b"x" * (LIMIT + 1))
    assert (refused.status, refused.headers["Cache-Control"]) == (413, "no-store")
    chunks = f"{LIMIT + 1:x}\r\n".encode() + b"x" * (LIMIT + 1) + b"\r\n0\r\n\r\n"
    request = head("POST /over HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close")
    assert send_raw(pod.port, request, chunks).startswith(b"HTTP/1.1 413 ")
    assert pod.seen("/over") == []
    assert get(pod.port, "/").status == 200


def test_too_long_or_too_slow_head_is_refused(pod: Pod) -> None:
    assert send_raw(pod.port, head("GET / HTTP/1.1", f"X-Long: {'x' * 40_000}")).startswith(b"HTTP/1.1 431 ")
    started = time.monotonic()
    assert send_raw(pod.port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")[:10] in (b"HTTP/1.1 4", b"")
    assert 9 < time.monotonic() - started < 15


def test_a_page_may_take_longer_than_its_request(hasty: Pod) -> None:
    assert get(hasty.port, "/wait?seconds=4").text == "waited\n"
    assert get(hasty.port, "/wait?seconds=4", "POST", b"x").text == "waited\n"


def test_100_continue(pod: Pod) -> None:
    expecting = head("POST /echo HTTP/1.1", "Content-Length: 5", "Expect: 100-continue", "Connection: close")
    with raw(pod.port, expecting) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello")
        assert read_all(connection).endswith(b"hello")
    too_long = head("POST /echo HTTP/1.1", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue", "Connection: close")
    assert send_raw(pod.port, too_long).startswith(b"HTTP/1.1 413 ")
    unknown = head("POST /echo HTTP/1.1", "Content-Length: 5", "Expect: miracle", "Connection: close")
    assert send_raw(pod.port, unknown, b"hello").startswith(b"HTTP/1.1 417 ")
    assert "HTTP_EXPECT" not in environ(pod, Expect="100-continue")


# --- Smuggling --------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: site.example\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding: chunked", "Content-Length: 6"], b"0\r\n\r\nG" + SMUGGLED),
        (["Content-Length: 0", "Content-Length: 45"], SMUGGLED),
        (["Content-Length: 0, 45"], SMUGGLED),
        (["Content-Length: +45"], SMUGGLED),
        (["Content-Length: 0x2d"], SMUGGLED),
        (["Content-Length: 4 5"], SMUGGLED),
        (["Content-Length : 0"], SMUGGLED),
        (["Transfer-Encoding: xchunked"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding: identity", "Content-Length: 45"], SMUGGLED),
        (["Transfer-Encoding : chunked"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding:\x0bchunked"], b"0\r\n\r\n" + SMUGGLED),
        (["Transfer_Encoding: chunked", "Content-Length: 0"], b""),
        (["X: y\rTransfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
        (["X: y\n\nGET /smuggled HTTP/1.1"], b""),
        (["Transfer-Encoding: chunked"], b"0;x=\n\r\n\r\n" + SMUGGLED),
        (["Transfer-Encoding: chunked"], b"-1\r\n" + SMUGGLED),
        (["Transfer-Encoding: chunked"], b"FFFFFFFFFFFFFFFF1\r\n" + SMUGGLED),
        (["Connection: Content-Length", "Content-Length: 45"], SMUGGLED),
        (
            ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: A", "Content-Length: 45"],
            SMUGGLED,
        ),
        (["PROXY: TCP4"], b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + SMUGGLED),
    ],
)
def test_no_request_is_smuggled(pod: Pod, headers: list[str], body: bytes) -> None:
    """For any length that a client states, the project gets no more requests than the front."""
    path = f"/outer-{abs(hash((tuple(headers), body)))}"
    with raw(pod.port, head(f"POST {path} HTTP/1.1", *headers), body, timeout=4) as connection:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answers = read_all(connection)
    time.sleep(0.2)
    logged = [line["request"]["uri"] for line in pod.log() if "request" in line]
    # A client may send two requests in a row. A smuggled request is one that the front does not know.
    assert len(pod.seen("/smuggled")) <= logged.count("/smuggled")
    assert len(pod.seen(path)) <= 1
    assert answers.count(b"HTTP/1.1 ") <= 2


def test_a_line_of_the_proxy_protocol_is_no_request(pod: Pod) -> None:
    answer = send_raw(pod.port, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + head("GET /environ HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_invalid_requests_get_a_client_error(pod: Pod) -> None:
    for line in ("GET http://evil.example/ HTTP/1.1", "GET / HTTP/9.9", "GET  / HTTP/1.1", "G\x00T / HTTP/1.1"):
        status = send_raw(pod.port, head(line, "Connection: close")).split(b" ")[1:2]
        assert status in ([b"200"], [b"400"], [b"505"]), line
    assert send_raw(pod.port, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert send_raw(pod.port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 400 ")
    assert send_raw(pod.port, b"GET / HTTP/1.0\r\nHost: site.example\r\n\r\n").startswith(b"HTTP/1.0 200 ")
    assert send_raw(pod.port, head("GET / HTTP/1.1", "Host: two.example")).startswith(b"HTTP/1.1 400 ")


# --- Headers for the project ------------------------------------------------------------------------------------------

FORGED = {
    "X_Forwarded_For": "192.0.2.66",
    "X_Real_IP": "192.0.2.66",
    "Forwarded": "for=192.0.2.66;proto=https",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Prefix": "/evil",
    "True_Client_IP": "192.0.2.66",
    "Client_IP": "192.0.2.66",
    "X_Original_URL": "/evil",
    "Via": "1.1 evil.example",
    "Remote_User": "evil",
}


def test_client_cannot_set_its_address_or_other_headers(pod: Pod) -> None:
    seen = environ(pod, **FORGED)
    assert (seen["HTTP_X_FORWARDED_FOR"], seen["HTTP_X_FORWARDED_PROTO"]) == ("127.0.0.1", "http")
    assert "evil" not in json.dumps(seen)
    assert "192.0.2.66" not in json.dumps(seen)


def test_headers_with_underscores_or_dots_are_dropped(pod: Pod) -> None:
    names = ("X_Forwarded_For", "X_Real_IP", "X.Forwarded.For", "Remote_User", "X_Any")
    told = send_raw(
        pod.port, head("GET /environ HTTP/1.1", *(f"{name}: 192.0.2.66" for name in names), "Connection: close")
    )
    assert b'"HTTP_X_FORWARDED_FOR": "127.0.0.1"' in told
    assert b"192.0.2.66" not in told


@pytest.fixture(scope="module")
def behind(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod behind trusted proxies, this machine among them, with an HTTPS site."""
    return make_pod(web_trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"], django_public_url="https://site.example")


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("192.0.2.66, 192.0.2.9", "192.0.2.9"),
        ("192.0.2.66, 192.0.2.9, 10.1.2.3", "192.0.2.9"),
        ("192.0.2.9:4711", "192.0.2.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("192.0.2.66, unknown", "192.0.2.66"),
        ("unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_client_is_the_last_address_that_is_no_trusted_proxy(behind: Pod, header: str, client: str) -> None:
    assert environ(behind, X_Forwarded_For=header)["HTTP_X_FORWARDED_FOR"] == client


@pytest.mark.parametrize(("told", "scheme"), [(None, "https"), ("https", "https"), ("http", "http"), ("evil", "https")])
def test_trusted_proxy_sets_the_scheme(behind: Pod, told: str | None, scheme: str) -> None:
    seen = environ(behind, **({"X_Forwarded_Proto": told} if told else {}))
    assert (seen["HTTP_X_FORWARDED_PROTO"], seen["wsgi.url_scheme"]) == (scheme, scheme)


def test_untrusted_proxy_does_not_set_the_scheme(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(django_public_url="https://site.example")
    assert environ(pod, X_Forwarded_Proto="http")["HTTP_X_FORWARDED_PROTO"] == "https"
    assert environ(pod)["HTTP_X_FORWARDED_PROTO"] == "https"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_server_gets_the_address_by_the_proxy_protocol(make_pod: Callable[..., Pod], version: str) -> None:
    pod = make_pod({"WEB_PROXY_PROTOCOL": version}, web_front_proxy_protocol=version, web_trusted_proxies=["127.0.0.1"])
    for client in ("192.0.2.9", "2001:db8::9"):
        assert environ(pod, X_Forwarded_For=f"192.0.2.66, {client}")["REMOTE_ADDR"] == client
    assert get(pod.port, "/echo", "POST", b"vote").status == 200


# --- Responses --------------------------------------------------------------------------------------------------------


def test_no_response_has_a_server_header(pod: Pod) -> None:
    for path in ("/", "/error?status=502", pod.live_path):
        headers = get(pod.port, path).headers
        assert not {"Server", "Via", "Alt-Svc"} & set(headers), path
    assert not {"Server", "Via"} & set(get(pod.port, "/over", "POST", b"x" * (LIMIT + 1)).headers)


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503, 504])
def test_errors_of_the_project_are_forwarded(pod: Pod, status: int) -> None:
    answer = get(pod.port, f"/error?status={status}")
    assert (answer.status, answer.text, answer.headers["Retry-After"]) == (status, "own page\n", None)


def test_only_content_without_secrets_is_compressed(pod: Pod) -> None:
    for accepted in ("gzip", "zstd"):
        assert get(pod.port, "/style.css", Accept_Encoding=accepted).headers["Content-Encoding"] == accepted
    assert get(pod.port, "/style.css").headers["Content-Encoding"] is None
    # The compressed length of a page would reveal a secret in it (BREACH).
    assert get(pod.port, "/page", Accept_Encoding="gzip, zstd").headers["Content-Encoding"] is None


def test_the_log_has_a_line_of_json_for_each_request_and_no_secrets(pod: Pod) -> None:
    given = {"X_Request_ID": "given-identifier", "Referer": "http://x/?sentinel", "Authorization": "sentinel"}
    get(pod.port, "/logged?password=sentinel", Cookie="a=sentinel", **given)
    get(pod.port, "/logged", X_Request_ID="forged\tline")
    get(pod.port, pod.live_path)
    pod.probe()
    time.sleep(0.2)
    lines: list[dict[str, Any]] = [line for line in pod.log() if "request" in line]
    first, second = [line for line in lines if line["request"]["uri"] == "/logged"]
    assert (first["request_id"], first["status"], first["request"]["client_ip"]) == (
        "given-identifier",
        200,
        "127.0.0.1",
    )
    assert len(second["request_id"]) == 36
    assert "sentinel" not in (pod.folder / "front.log").read_text()
    assert not {line["request"]["uri"] for line in lines} & {pod.live_path, "/readyz"}
    assert environ(pod, X_Request_ID="given-identifier")["HTTP_X_REQUEST_ID"] == "given-identifier"


def test_aborted_response_leaves_no_secret_in_the_log(pod: Pod) -> None:
    with socket.create_connection(("127.0.0.1", pod.port)) as client:
        client.sendall(
            b"GET /large?bytes=30000000&password=sentinel HTTP/1.1\r\nHost: a\r\nReferer: http://x/?sentinel\r\n\r\n"
        )
        assert client.recv(1000)
        # The connection is reset, as if the client were gone.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until = time.monotonic() + 5
    while not (lines := [line for line in pod.log() if "aborting" in line.get("msg", "")]):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert lines[0]["request"]["uri"] == "/large"
    assert "sentinel" not in (pod.folder / "front.log").read_text()
