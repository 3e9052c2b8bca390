"""Start of the front, and its errors. After an error, the pods of the previous release keep serving."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.pods import last_words

from conftest import CADDY, Pod, rendered


def last_line(pod: Pod) -> str:
    """Return the end of the front's log, as the kubelet shows it."""
    path = pod.folder / "caddy.json"
    path.write_text(json.dumps(pod.config))
    command = [CADDY, "run", f"--config={path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=pod.front_environment)
    assert done.returncode != 0
    return last_words((done.stdout + done.stderr)[-4096:])


def test_an_override_is_merged(make_pod: Callable[..., Pod]) -> None:
    changed = {"apps": {"http": {"servers": {"site": {"max_header_bytes": 1024, "idle_timeout": "5s"}}}}}
    server = make_pod(start=False, web_front_overrides=changed).config["apps"]["http"]["servers"]["site"]
    assert (server["max_header_bytes"], server["idle_timeout"], server["read_timeout"]) == (1024, "5s", "20s")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"apps": {"http": {"servers": {"site": {"no_such_option": 1}}}}}, "no_such_option"),
        ({"apps": {"http": {"servers": {"site": {"routes": [{"handle": [{"handler": "none"}]}]}}}}}, "none"),
        ({"apps": {"http": {"grace_period": "soon"}}}, "soon"),
    ],
)
def test_invalid_override_fails_with_one_message(
    make_pod: Callable[..., Pod], overrides: dict[str, Any], reason: str
) -> None:
    told = last_line(make_pod(start=False, web_front_overrides=overrides))
    assert reason in told
    assert "\n" not in told


def test_used_port_is_reported(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(start=False)
    with socket.create_server(("", pod.port)):
        assert f":{pod.port}: bind: address already in use" in last_line(pod)


def certificate(folder: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)


def with_certificate(pod: Pod, key: str = "tls.key") -> None:
    [pair] = pod.config["apps"]["tls"]["certificates"]["load_files"]
    assert (pair["certificate"], pair["key"]) == ("/run/secrets/front/tls.crt", "/run/secrets/front/tls.key")
    pair |= {"certificate": str(pod.folder / "tls.crt"), "key": str(pod.folder / key)}


@pytest.mark.parametrize(("protocol", "name"), [("http/1.1", "localhost"), ("h2", "localhost"), ("http/1.1", None)])
def test_front_serves_the_certificate_of_a_secret(
    make_pod: Callable[..., Pod], protocol: str, name: str | None
) -> None:
    """Also for a client that requests an IP address, like the kubelet."""
    pod = make_pod(start=False, web_front_tls_secret="site-tls", web_front_protocols=["h1", "h2"])
    certificate(pod.folder)
    with_certificate(pod)
    pod.start_project()
    pod.start_front()
    context = ssl.create_default_context(cafile=str(pod.folder / "tls.crt"))
    context.set_alpn_protocols([protocol])
    context.check_hostname = name is not None
    with (
        socket.create_connection(("127.0.0.1", pod.port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        assert secure.selected_alpn_protocol() == protocol
        if protocol == "http/1.1":
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert secure.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_certificate_without_its_key_is_reported(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(start=False, web_front_tls_secret="site-tls")
    certificate(pod.folder)
    with_certificate(pod, key="none.key")
    assert "none.key: no such file" in last_line(pod)


def test_front_writes_no_files(make_pod: Callable[..., Pod], tmp_path: Path) -> None:
    """The root file system is read-only, and its own directory stays empty."""
    pod = make_pod(start=False)
    pod.front_environment["HOME"] = str(tmp_path)
    pod.start_project()
    pod.start_front()
    assert list(tmp_path.rglob("*")) == []
    assert not [line for line in pod.log() if line["level"] == "error"]


def test_only_the_port_listens(pod: Pod) -> None:
    """The endpoint that changes the configuration is off."""
    assert pod.front
    descriptors = Path(f"/proc/{pod.front.pid}/fd").iterdir()
    own = {str(path.readlink()).partition("[")[2].rstrip("]") for path in descriptors}
    tables = [Path("/proc/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6", "udp", "udp6")]
    lines = [line.split() for table in tables for line in table]
    # Listening TCP sockets, and all UDP sockets.
    assert {int(line[1].rpartition(":")[2], 16) for line in lines if line[9] in own and line[3] in ("0A", "07")} == {
        pod.port
    }


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"web_trusted_proxies": ["*"]}, "which is not a list of networks"),
        ({"web_stop_delay": 30}, "for the project to stop take 60 s. Raise web_grace_period"),
        ({"web_port": 8080}, "web_port is 8080, the port of the front"),
        ({"web_front_tls_secret": "site-tls", "django_public_url": "http://a"}, "is not an https URL"),
        (
            {"web_front_tls_secret": "site-tls", "django_public_url": "https://a", "web_ingress_class": "nginx"},
            "the Ingress of the site sends plain HTTP to the front",
        ),
        ({"web_front_protocols": ["h2"]}, "web_front_protocols is h2, without h1"),
        ({"web_proof_path": "polls/"}, "web_proof_path is polls/, which is not a valid path"),
        ({"web_proof_path": "/my polls/"}, "web_proof_path is /my polls/, which is not a valid path"),
        ({"web_proof_path": "/polls/?page=2"}, ""),
        ({"web_front_tls_secret": "site-tls", "django_public_url": "https://a"}, ""),
        ({}, ""),
    ],
)
def test_invalid_variables_fail(tmp_path: Path, variables: dict[str, Any], reason: str) -> None:
    told = rendered(tmp_path, variables, "__web_refusals")
    assert reason in "".join(told)
    assert (told != "[]") is bool(reason)
