"""Which requests use a proxy of the environment, and which errors name it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.filter.pinned_kubeconfig import pinned_kubeconfig
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import proxies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.modules import page_info

PROJECT = Path(__file__).parents[3]
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = "http://someone:secret@proxy.example.org:3128"
# What offices set.
OFFICE = {"http_proxy": PROXY, "https_proxy": PROXY, "no_proxy": "localhost,127.0.0.1"}


@pytest.fixture(autouse=True)
def _no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://127.0.0.1:30037/", ""),
        ("https://127.8.0.1:6443", ""),
        ("http://[::1]:80/", ""),
        ("http://localhost", ""),
        ("http://polls.localhost", ""),
        ("http://172.18.0.2:30037/", "10.0.0.0/8,172.16.0.0/12"),
        ("http://172.18.0.2:30037/", "10.0.0.0/8, 172.18.0.1/16 "),
        ("http://172.18.0.2:30037/", "172.18.0.2"),
        ("http://172.18.0.2:30037/", "172.18.0.2:30037"),
        ("http://[fd00::2]:30037/", "fd00::/8"),
        ("http://[fd00::2]:30037/", "[fd00::2]:30037"),
        ("http://a.example.org", ".example.org"),
        ("http://a.example.org", "example.org"),
        ("http://a.Example.org", "*.EXAMPLE.org"),
        ("http://example.org", ".example.org"),
        ("https://example.org", "example.org:443"),
        ("https://example.org", "*"),
        ("no address", ""),
        ("http://[::1/", ""),
    ],
)
def test_exempt_addresses_use_no_proxy(url: str, no_proxy: str) -> None:
    assert proxies.proxy_of(url, OFFICE | {"no_proxy": no_proxy}) == ""
    assert proxies.proxy_of(url, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}) == ""


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://172.18.0.2:30037/", "localhost,127.0.0.1"),
        ("http://172.18.0.2:30037/", "172.19.0.0/16,172.18.0.2:80,8.0.2,nonsense/8"),
        ("http://badexample.org", "example.org"),
        ("https://example.org", "example.org:80"),
    ],
)
def test_other_addresses_use_the_proxy_which_is_named_without_its_password(url: str, no_proxy: str) -> None:
    scheme = url.partition(":")[0]
    found = proxies.proxy_of(url, OFFICE | {"no_proxy": no_proxy})
    assert found == f"proxy.example.org:3128 (from {scheme}_proxy)"
    assert proxies.proxy_of(url, {"ALL_PROXY": PROXY}) == "proxy.example.org:3128 (from ALL_PROXY)"
    assert proxies.proxy_of(url, {}) == ""


def test_what_is_reached_directly_is_named_to_each_library_and_program() -> None:
    environment = OFFICE | {"NO_PROXY": "ignored"}
    for _ in range(2):
        proxies.reach_directly("http://172.18.0.2:30037/", environment, local=True)
        proxies.reach_directly("http://192.0.2.1/", environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "localhost,127.0.0.1,172.18.0.2"


@pytest.mark.parametrize("no_proxy", ["*", "localhost, *"])
def test_the_entry_for_all_hosts_stays_alone(no_proxy: str) -> None:
    """For urllib, requests and curl it would be a name with others beside it."""
    environment = OFFICE | {"no_proxy": no_proxy}
    proxies.reach_directly("http://172.18.0.2:30037/", environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "*"


def test_an_environment_without_a_proxy_stays_as_it_is() -> None:
    environment = {"no_proxy": "10.0.0.0/8"}
    proxies.reach_directly("http://10.0.0.1/", environment, local=True)
    assert environment == {"no_proxy": "10.0.0.0/8"}


# --- Requests, with servers of this machine in all places -------------------------------------------------------------


class Recorder(BaseHTTPRequestHandler):
    """Answers each request as a site, or refuses it as a proxy, and records it."""

    status: int
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_CONNECT = do_GET

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


def served(status: int) -> tuple[ThreadingHTTPServer, list[str]]:
    seen: list[str] = []
    handler = type("Handler", (Recorder,), {"status": status, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, seen


@pytest.fixture
def site() -> Iterator[tuple[int, list[str]]]:
    server, seen = served(200)
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy that refuses everything, in the environment of an office."""
    server, seen = served(403)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://someone:secret@localhost:{server.server_port}")
    # Set, so that what a test changes is undone.
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setenv("NO_PROXY", "localhost")
    yield seen
    server.shutdown()
    server.server_close()


def asked(monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """Return what page_info ends with for a site without a front, where no pod may be asked."""
    release = {"release": "", "configuration_hash": "", "marked": False, "labels": {}, "port": 8080, "tls": False}
    params = {"timeout": 0, "local": False, "address": "try"} | release | options
    monkeypatch.setattr(page_info, "connect", refuse)
    try:
        return page_info.run(SimpleNamespace(params=params, warn=lambda _: None))
    except CloudDjangoError as error:
        return {"failed": True, "msg": str(error)}


def refuse(module: Any) -> Any:
    raise ApiError("Pods", "cannot be read", "Read none")


def test_a_page_of_this_machine_is_reached_directly(
    site: tuple[int, list[str]], proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(monkeypatch, url=f"http://127.0.0.1:{site[0]}/readyz")["attempts"] == 1
    assert (site[1], proxy) == (["GET /readyz"], [])


@pytest.mark.parametrize(("no_proxy", "local"), [("localhost", True), ("localhost,198.51.100.0/24", False)])
def test_a_page_of_a_node_is_reached_directly(
    no_proxy: str, local: bool, site: tuple[int, list[str]], proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to_this_machine(monkeypatch, "198.51.100.2")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert asked(monkeypatch, url=f"http://198.51.100.2:{site[0]}/readyz", local=local)["attempts"] == 1
    assert (site[1], proxy) == (["GET /readyz"], [])


def lead_to_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    create = socket.create_connection

    def connected(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
        return create(("127.0.0.1" if address[0] == host else address[0], address[1]), *arguments, **options)

    monkeypatch.setattr(socket, "create_connection", connected)


def test_the_error_of_a_page_elsewhere_names_the_proxy(proxy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asked(monkeypatch, url="http://polls.example.org/readyz", address="require", marked=True, release="r")
    assert ended["failed"]
    assert proxy == ["GET http://polls.example.org/readyz"]
    assert "The page http://polls.example.org/readyz through the proxy localhost:" in ended["msg"]
    assert "(from http_proxy) has no mark of this release" in ended["msg"]
    assert "or name its host in no_proxy" in ended["msg"]
    assert "secret" not in ended["msg"]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def write(path: Path, server: str, **cluster: Any) -> str:
    document = {
        "clusters": [{"name": "polls", "cluster": {"server": server} | cluster}],
        "contexts": [{"name": "polls", "context": {"cluster": "polls", "user": "polls"}}],
        "users": [{"name": "polls", "user": {}}],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


MINIKUBE = [{"name": "cluster_info", "extension": {"provider": "minikube.sigs.k8s.io", "version": "v1.38.1"}}]


@pytest.mark.parametrize(
    ("server", "no_proxy", "extensions", "is_direct"),
    [
        ("https://127.0.0.1:6443", "", [], True),
        ("https://192.168.49.2:8443", "localhost", MINIKUBE, True),
        ("https://192.168.49.2:8443", "192.168.0.0/16", [], True),
        ("https://192.168.49.2:8443", "localhost", [], False),
        ("https://192.168.49.2:8443", "localhost", [{"name": "other", "extension": {}}], False),
    ],
)
def test_tasks_reach_an_api_of_this_machine_directly(
    server: str,
    no_proxy: str,
    extensions: list[Any],
    is_direct: bool,
    kubeconfig: Path,
    proxy: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", no_proxy)
    path = write(kubeconfig, server, extensions=extensions)
    assert pinned_kubeconfig(path, "polls", "") == path
    host = server.partition("://")[2].rpartition(":")[0]
    assert (host in os.environ["no_proxy"].split(",")) == is_direct


def test_a_request_to_an_api_of_this_machine_uses_no_proxy(
    kubeconfig: Path, site: tuple[int, list[str]], proxy: list[str]
) -> None:
    client = connect(module_of(write(kubeconfig, f"http://127.0.0.1:{site[0]}")))
    client.raw("get", "/readyz")
    assert (site[1], proxy) == (["GET /readyz"], [])


def test_the_error_of_an_api_elsewhere_names_the_proxy(kubeconfig: Path, proxy: list[str]) -> None:
    client = connect(module_of(write(kubeconfig, "https://k8s.example.org")))
    with pytest.raises(
        CloudDjangoError, match=r"through the proxy localhost:\d+ \(from https_proxy\) cannot be reached"
    ):
        client.get("Namespace", "polls")
    assert proxy == ["CONNECT k8s.example.org:443"]


def module_of(kubeconfig: str) -> Any:
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

    params = dict.fromkeys(AUTH_ARG_SPEC) | {"kubeconfig": kubeconfig, "context": "polls", "namespace": "polls"}
    return SimpleNamespace(params=params, server_side_dry_run=False, requires=lambda *_, **__: None)


def test_modules_of_kubernetes_core_reach_an_api_of_this_machine_directly(
    kubeconfig: Path, site: tuple[int, list[str]], proxy: list[str]
) -> None:
    write(kubeconfig, f"http://127.0.0.1:{site[0]}")
    filtered = "{{ '" + str(kubeconfig) + "' | cloud_django.kubernetes.pinned_kubeconfig('polls', '') }}"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {
            "group/cloud_django.kubernetes.k8s": {"kubeconfig": filtered, "context": "polls"},
        },
        "tasks": [{"kubernetes.core.k8s_info": {"kind": "Pod", "namespace": "polls"}}],
    }
    path = kubeconfig.with_name("play.yml")
    path.write_text(json.dumps([play]), encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    subprocess.run([program, path], cwd=PROJECT, capture_output=True, timeout=60, check=False)
    assert proxy == []
    assert site[1]
