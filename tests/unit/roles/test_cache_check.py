"""The check of an external cache with a real server, as the Job of the role runs it."""

from __future__ import annotations

import contextlib
import runpy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates

FILE = Path(__file__).parents[3] / "roles" / "cache" / "files" / "check.py"
PREFIX = "shop:polls-cache:abc"
ODD_PASSWORD = "a \"b\\ 'c $(d) é"
NOW = certificates.current_time()
AUTHORITY = certificates.authority("cache", 30, NOW)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def server(folder: Path, *options: str, name: str = "", keys: str = PREFIX + ":*") -> Iterator[int]:
    """Yield the port of a server, which uses TLS if `name` is the host in its certificate."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    assert program, "Neither valkey-server nor redis-server is on PATH. Install one of these packages."
    port = free_port()
    quoted = "".join(f"\\x{byte:02x}" for byte in ODD_PASSWORD.encode())
    lines = [
        "user default off",
        f'user polls on ">{quoted}" ~{keys} +@all',
        f'user reader on ">{quoted}" ~{keys} +@read',
    ]
    lines += ['save ""', "bind 127.0.0.1"]
    if name:
        pair = certificates.server(AUTHORITY, [name], 30, NOW)
        for file, text in {
            "server.crt": pair.certificate,
            "server.key": pair.key,
            "ca.crt": AUTHORITY.certificate,
        }.items():
            (folder / file).write_text(text, encoding="utf-8")
        lines += ["port 0", f"tls-port {port}", "tls-auth-clients no"]
        lines += ["tls-cert-file server.crt", "tls-key-file server.key", "tls-ca-cert-file ca.crt"]
    else:
        lines += [f"port {port}"]
    (folder / "server.conf").write_text("\n".join([*lines, *options]) + "\n", encoding="utf-8")
    process = subprocess.Popen([program, "server.conf"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def checked(folder: Path, port: int, encryption: str = "plain", host: str = "localhost", **files: str) -> str:
    """Return the output of the check, and that it fails unless the cache accepts the user."""
    secret = folder / "secret"
    secret.mkdir(exist_ok=True)
    values = {"host": host, "port": str(port), "user": "polls", "password": ODD_PASSWORD, "prefix": PREFIX}
    for name, text in (values | {"ca": AUTHORITY.certificate} | files).items():
        (secret / name).write_text(text, encoding="utf-8")
    # Without the waiting time of a connection that is refused for good.
    script = FILE.read_text(encoding="utf-8").replace("CONNECT_TIMEOUT = 10", "CONNECT_TIMEOUT = 0")
    command = [sys.executable, "-I", "-c", script, str(secret), encryption]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    text = (ended.stdout + ended.stderr).strip()
    assert ended.returncode == (0 if "accepts user" in text else 1)
    assert len(text.splitlines()) == 1, text
    assert ODD_PASSWORD not in text
    return text


def test_an_accepted_user(tmp_path: Path) -> None:
    with server(tmp_path, name="localhost") as port:
        assert checked(tmp_path, port, "tls") == f"The cache at localhost:{port} accepts user polls."


def test_no_key_is_left(tmp_path: Path) -> None:
    ask = runpy.run_path(str(FILE))["ask"]
    with server(tmp_path) as port:
        assert "accepts user polls" in checked(tmp_path, port)
        with socket.create_connection(("127.0.0.1", port), 5) as connection, connection.makefile("rwb") as stream:
            ask(stream, "AUTH", "polls", ODD_PASSWORD)
            assert ask(stream, "DBSIZE") == "0"
            assert int(ask(stream, "INFO", "stats").partition("keyspace_hits:")[2].split()[0]) == 1, "it read the key"


def test_a_certificate_for_another_host_is_refused_before_the_password_is_sent(tmp_path: Path) -> None:
    with server(tmp_path, name="cache.example.org") as port:
        text = checked(tmp_path, port, "tls")
        assert text.endswith("has a certificate for another host: set cache_host to a name in it")
        assert "another host" in checked(tmp_path, port, "tls", host="127.0.0.1")


def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    other = certificates.authority("other", 30, NOW).certificate
    with server(tmp_path, name="localhost") as port:
        assert "has a certificate that cannot be trusted" in checked(tmp_path, port, "tls", ca=other)
        assert "cannot be verified, because cache_ca_certificate" in checked(tmp_path, port, "tls", ca="PEM")
        assert "does not answer as expected: cache_tls must be" in checked(tmp_path, port)


def test_a_server_without_tls(tmp_path: Path) -> None:
    with server(tmp_path) as port:
        assert "accepts user polls" in checked(tmp_path, port)
        assert "does not answer as expected: cache_tls must be" in checked(tmp_path, port, "tls")
        assert "refuses the password of user polls: set cache_user" in checked(tmp_path, port, password="wrong one")
        assert "refuses the password of user stranger: set cache_user" in checked(tmp_path, port, user="stranger")


def test_a_user_without_permissions(tmp_path: Path) -> None:
    with server(tmp_path) as port:
        text = checked(tmp_path, port, user="reader")
        assert f"does not let user reader write, read, and remove keys that begin with {PREFIX}: NOPERM" in text
    with server(tmp_path, keys="cloud-django:*") as port:
        assert "does not let user polls write" in checked(tmp_path, port), "the key must be one of this site"


def test_a_full_server(tmp_path: Path) -> None:
    with server(tmp_path, "maxmemory 1", "maxmemory-policy noeviction") as port:
        assert "is full and evicts no keys" in checked(tmp_path, port)


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    assert "cannot be reached from the cluster: " in checked(tmp_path, free_port(), "tls")
    assert "cannot be found: its name is unknown" in checked(tmp_path, 6379, "tls", host="cache.invalid")


def test_a_password_that_the_server_repeats_is_masked(tmp_path: Path) -> None:
    with server(tmp_path, 'rename-command AUTH ""') as port:
        text = checked(tmp_path, port)
        assert "gives an unexpected response: " in text
        assert "***" in text
