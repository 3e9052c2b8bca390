"""Verification of a release by page_info, with local servers and pods that forward to them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import URLError

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import page

HASH, RELEASE = "c" * 32, "b" * 32
ANNOTATIONS = {"cloud-django/release": RELEASE, "cloud-django/configuration-hash": HASH}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class Site:
    """Server that returns each status once, and then always the last one."""

    statuses: list[int] = field(default_factory=lambda: [200])
    # Mark that a front returns to a client with the hash of the configuration. Empty for another server.
    release: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    # The only host with pages. Empty for all hosts.
    host: str = ""
    seen: list[Any] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append((request.path, dict(request.headers)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        request.send_response(400 if self.host not in ("", request.headers["Host"]) else status)
        for name, value in {"Content-Length": "0", **self.headers}.items():
            request.send_header(name, value)
        if self.release and request.headers.get("X-Front-Proof") == HASH:
            request.send_header("X-Front-Release", self.release)
        request.end_headers()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:

        def serve(**options: Any) -> Site:
            site = Site(**options)

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    site.answer(self)

                def log_message(self, *arguments: object) -> None:
                    """Print nothing."""

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            site.port = server.server_port
            threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
            stack.callback(server.shutdown)
            return site

        yield serve


class Cluster:
    """Cluster with pods whose port forwards to a site."""

    def __init__(self, site: Site | None = None, error: ApiError | None = None, **changes: Any) -> None:
        self.site, self.error = site, error
        self.pods = [{"metadata": {"name": "web-1", "annotations": ANNOTATIONS}, "status": READY} | changes]

    def list(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        assert (kind, labels) == ("Pod", {"a": "b"})
        return self.pods

    @contextlib.contextmanager
    def forward(self, pod: str, port: int, timeout: float) -> Iterator[socket.socket]:
        assert (pod, port) == ("web-1", 8080)
        assert 0 < timeout <= page.ATTEMPT
        if self.error:
            raise self.error
        with socket.create_connection(("127.0.0.1", self.site.port if self.site else 9), timeout=5) as sock:
            yield sock


def prove(url: str, cluster: Cluster | None = None, **options: Any) -> page.Proof:
    """Verify like the module. Without a cluster, no request to the cluster is allowed."""
    params = {"url": url, "release": RELEASE, "configuration_hash": HASH, "annotations": ANNOTATIONS, "marked": True}
    params |= {"address": "try", "namespace": "polls", "labels": {"a": "b"}, "port": 8080, "tls": False, "timeout": 0}

    def open_client() -> Any:
        assert cluster, "a request was sent to the cluster"
        return cluster

    return page.prove(params | options, open_client, pause=0.01)


# --- The release answers at the URL -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 302, 401, 403, 404, 405])
def test_a_page_of_the_release_takes_one_request(start: Callable[..., Site], status: int) -> None:
    """Also a page that needs a login, or that does not exist in the project."""
    site = start(statuses=[status], release=RELEASE, headers={"Location": "/login/"})
    assert prove(f"{site.url}") == page.Proof(1, status, "address")
    [(path, headers)] = site.seen
    assert (path, headers["Host"], headers["X-Front-Proof"]) == ("/", f"127.0.0.1:{site.port}", HASH)


def test_a_page_that_fails_once_is_requested_again(start: Callable[..., Site]) -> None:
    site = start(statuses=[503, 502, 200], release=RELEASE)
    assert prove(site.url, timeout=5) == page.Proof(3, 200, "address")


def test_a_gateway_that_redirects_to_another_path_of_its_host_is_followed(start: Callable[..., Site]) -> None:
    site = start(release=RELEASE)
    gateway = start(statuses=[301], headers={"Location": f"{site.url}page"})
    assert prove(gateway.url).way == "address"
    assert site.seen[0][0] == "/page"


@pytest.mark.parametrize("target", ["http://localhost:{port}/", "ftp://127.0.0.1/", "http://[/"])
def test_no_other_host_gets_the_key(start: Callable[..., Site], target: str) -> None:
    other = start()
    site = start(statuses=[302], headers={"Location": target.format(port=other.port)})
    with pytest.raises(CloudDjangoError):
        prove(site.url, address="require")
    assert other.seen == []


# --- The release returns a wrong answer -------------------------------------------------------------------------------


def test_a_site_with_status_400_fails_at_once(start: Callable[..., Site]) -> None:
    """The project returns status 400 for a host that is not in ALLOWED_HOSTS, but /readyz returns 200 for any host."""
    site = start(release=RELEASE, host="polls.example.org")
    with pytest.raises(CloudDjangoError) as error:
        prove(site.url, timeout=60)
    assert str(error.value) == (
        f"The page {site.url} returned status 400, which Django returns if the host 127.0.0.1 is not in ALLOWED_HOSTS. "
        f"Set ALLOWED_HOSTS from DJANGO_PUBLIC_URL in the project, or add the host, {page.AGAIN}."
    )


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_release_is_an_error(start: Callable[..., Site], status: int) -> None:
    with pytest.raises(CloudDjangoError, match=f"returned status {status}. Read the log of the pods"):
        prove(start(statuses=[status], release=RELEASE).url)


def test_a_page_that_redirects_to_itself_is_an_error(start: Callable[..., Site]) -> None:
    site = start(statuses=[301], release=RELEASE)
    site.headers = {"Location": site.url}
    with pytest.raises(CloudDjangoError, match=r"status 301 and redirects to itself\. .*X-Forwarded-Proto"):
        prove(site.url, timeout=60)
    site.headers = {"Location": site.url, "Set-Cookie": "language=en"}
    assert prove(site.url).status == 301


# --- The URL does not lead to the release -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, "has no mark of this release: another server answers there, or removes headers (status 200)"),
        (
            {"release": "0" * 32},
            "has the mark of another release: another server answers there, or removes headers (status 200)",
        ),
        ({"statuses": [404]}, "(status 404)"),
        ({"statuses": [400]}, "(status 400)"),
        ({"statuses": [302], "headers": {"Location": "https://login.example/"}}, "(status 302 of http://127.0.0.1:"),
    ],
    ids=["other site", "other release", "gateway without a route", "other site with other hosts", "login elsewhere"],
)
def test_another_site_at_the_address_is_a_warning_if_the_release_works(
    start: Callable[..., Site], other: dict[str, Any], words: str
) -> None:
    site, elsewhere = start(), start(**other)
    site.host = f"127.0.0.1:{elsewhere.port}"
    proof = prove(elsewhere.url, Cluster(site))
    assert (proof.status, proof.way) == (200, "port-forward")
    assert words in proof.warning
    assert "This release works: its pod web-1 returned status 200 through a port-forward. Check DNS" in proof.warning
    # The request to the pod has the host of the URL, and no key.
    [(path, headers)] = site.seen
    assert (path, headers["X-Forwarded-Proto"], headers.get("X-Front-Proof")) == ("/", "http", None)


def test_another_site_at_the_address_is_an_error_if_the_address_is_required(start: Callable[..., Site]) -> None:
    with pytest.raises(CloudDjangoError, match="no mark of this release: another server answers there"):
        prove(start().url, address="require")


def test_another_site_does_not_hide_a_release_that_rejects_its_host(start: Callable[..., Site]) -> None:
    with pytest.raises(CloudDjangoError) as error:
        prove(start().url, Cluster(start(host="polls.example.org")))
    assert "another server answers there" in str(error.value)
    assert "from pod web-1 through a port-forward, returned status 400" in str(error.value)


def test_an_unavailable_address_is_a_warning_if_the_release_works(start: Callable[..., Site]) -> None:
    proof = prove("http://127.0.0.1:9/", Cluster(start()))
    assert "The page http://127.0.0.1:9/ cannot be loaded: Connection refused. This release works" in proof.warning


def test_a_failing_proxy_is_reported_and_the_release_verified(
    start: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start(statuses=[502])
    monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "localhost")
    proof = prove("http://10.0.0.9:30037/", Cluster(start(host="10.0.0.9:30037")))
    assert f"through the proxy 127.0.0.1:{proxy.port} (from http_proxy)" in proof.warning
    assert "user" not in proof.warning
    assert proof.status == 200
    assert proxy.seen[0][0] == "http://10.0.0.9:30037/"


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 1),
        (ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate"), 1),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), 2),
        (ConnectionRefusedError(111, "Connection refused"), 2),
    ],
    ids=["unknown name", "certificate", "no resolver", "refused"],
)
def test_a_name_or_certificate_that_is_missing_is_not_waited_for(error: OSError, attempts: int) -> None:
    """A run that requires the URL waits, because another program may create the name or the certificate."""

    def counted(address: str) -> int:
        def get(*_: Any) -> page.Answer:
            raise URLError(error)

        params = {"url": "https://polls.example.org/", "marked": False, "address": address, "timeout": 0.5}
        return page.try_address(params, get, pause=0.3).attempts

    assert (counted("try"), counted("require")) == (attempts, 2)


def test_an_unavailable_address_is_reported_before_the_pod_is_requested(
    start: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(progress.Screen, "show", staticmethod(lines.append))
    prove("http://127.0.0.1:9/", Cluster(start()))
    assert [line.partition(": ")[2] for line in lines] == [
        "The page http://127.0.0.1:9/ cannot be loaded: Connection refused"
    ]


def test_an_address_of_the_cluster_is_skipped_without_a_warning(start: Callable[..., Site]) -> None:
    site = start(host="polls-web.polls")
    proof = prove("http://polls-web.polls/", Cluster(site), address="skip")
    assert proof == page.Proof(0, 200, "port-forward", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {}},
        {"metadata": {"name": "web-1", "annotations": ANNOTATIONS, "deletionTimestamp": "now"}},
        {"metadata": {"name": "web-1", "annotations": ANNOTATIONS | {"cloud-django/release": "0"}}},
        {"metadata": {"name": "web-1"}},
    ],
    ids=["not ready", "ends", "other release", "of a release before"],
)
def test_only_a_ready_pod_of_the_release_is_requested(start: Callable[..., Site], changes: dict[str, Any]) -> None:
    site = start()
    with pytest.raises(
        CloudDjangoError, match=r"Connection refused\. No pod of this release is ready\. Find the cause"
    ):
        prove("http://127.0.0.1:9/", Cluster(site, **changes))
    assert site.seen == []


def test_a_forbidden_port_forward_is_an_error_with_both_reasons() -> None:
    refused = ApiError("Port 8080 of pod web-1 cannot be forwarded:", "forbidden", "Ask for it", 403)
    with pytest.raises(CloudDjangoError, match=r"Connection refused\. Port 8080 of pod web-1 cannot be"):
        prove("http://127.0.0.1:9/", Cluster(error=refused))


# --- Without a front --------------------------------------------------------------------------------------------------


def test_without_a_front_the_page_and_a_pod_are_verified_without_a_warning(start: Callable[..., Site]) -> None:
    """Otherwise, each run of a working site would print a warning."""
    site, pod = start(statuses=[302]), start()
    assert prove(site.url, Cluster(pod), marked=False) == page.Proof(1, 302, "address", "")
    assert "X-Front-Proof" not in site.seen[0][1]
    assert pod.seen


def test_without_a_front_and_a_port_forward_only_the_page_is_verified(start: Callable[..., Site]) -> None:
    refused = ApiError("Port 8080 of pod web-1 cannot be forwarded:", "forbidden", "Ask for it", 403)
    proof = prove(start().url, Cluster(error=refused), marked=False)
    assert proof.way == "address"
    assert "without a front its release is unknown. Port 8080 of pod" in proof.warning


def test_without_a_front_another_site_differs_from_a_release_that_rejects_its_host(start: Callable[..., Site]) -> None:
    elsewhere = start(statuses=[400])
    assert "status 400" in prove(elsewhere.url, Cluster(start()), marked=False).warning
    with pytest.raises(CloudDjangoError, match="from pod web-1 through a port-forward, returned status 400"):
        prove(elsewhere.url, Cluster(start(host="other")), marked=False)


def test_a_request_by_http_loads_no_certificate_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[bool] = []

    def refuse(url: str, *, validate_certs: bool, **_options: Any) -> Any:
        validated.append(validate_certs)
        raise URLError("refused")

    monkeypatch.setattr(page, "open_url", refuse)
    for url in ("http://192.0.2.1/", "https://192.0.2.1/", "HTTPS://192.0.2.1/"):
        with pytest.raises(URLError):
            page.fetch(url, {}, 1)
    assert validated == [False, True, True]
