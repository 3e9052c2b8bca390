"""Helpers that the tests of all apps import."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
from django.test.utils import CaptureQueriesContext

PROJECT = Path(__file__).resolve().parent
# Characters with a special meaning in a shell, a URL, a template, or an environment file.
ODD_PASSWORD = "-@:/?#%$$(X)'\"\\ {{ x }} {% y %} é 🔑 end "  # noqa: S105 - invented for the tests


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the captured SQL without statements that control transactions, which differ between tests and the site."""
    marks = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(marks)]


def run_python(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python in the project with some environment variables changed, or removed where the value is None."""
    environment = dict(os.environ)
    for name, value in variables.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return subprocess.run(  # noqa: S603 - without a shell, and the arguments are the tests' own
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Server:
    """A running gunicorn."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port, self.log, self.process = port, log, process

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers in lowercase, and body."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request(method, path, headers={"Host": "testserver", **headers})
        response = client.getresponse()
        body = response.read().decode(errors="replace")
        client.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    def lines(self) -> list[dict]:
        """Return the log so far as a list of events."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def secret_directory(
    directory: Path, host: str, port: int, *, password: str, user: str = "default", authority: str = ""
) -> None:
    """Write the files of the cache that a pod has."""
    scheme = "rediss" if authority else "redis"
    files = {"host": host, "port": str(port), "user": user, "password": password, "ca": authority}
    files["url"] = f"{scheme}://{user}:{password}@{host}:{port}"
    for name, content in files.items():
        (directory / name).write_text(content)


AUTHORITY = """
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
basicConstraints = critical, CA:true
"""


def make_certificate(key: Path, certificate: Path, *, is_expired: bool) -> None:
    """Write a key and a certificate that it signed itself, valid until 2099 or 2021."""
    folder = key.parent
    (folder / "index").touch()
    (folder / "authority").write_text(AUTHORITY)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    until = "20210101000000Z" if is_expired else "20990101000000Z"
    for command in (
        ["openssl", "req", "-new", *curve, "-subj", "/CN=localhost", "-keyout", key, "-out", "request"],
        [
            *("openssl", "ca", "-selfsign", "-batch", "-notext", "-config", "authority", "-keyfile", key),
            *("-in", "request", "-startdate", "20200101000000Z", "-enddate", until, "-out", certificate),
        ],
    ):
        subprocess.run(command, check=True, capture_output=True, cwd=folder)  # noqa: S603 - arguments of the tests


class CacheServer:
    """A running Valkey (or Redis, its predecessor), and the Secret of a pod that uses it."""

    def __init__(self, directory: Path, *, tls: bool = False, is_expired: bool = False, permissions: str = "") -> None:
        """Start a server with TLS, an expired certificate, or a user with some permissions only."""
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if program is None:
            raise AssertionError("Neither valkey-server nor redis-server is on PATH. Install one of these packages.")
        self.directory, self.tls, self.password = directory, tls, "pA" * 16
        self.user, self.permissions = "site" if permissions else "default", permissions
        self.secret = directory / "secret"
        self.secret.mkdir(parents=True)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        key, certificate = directory / "key", directory / "certificate"
        self.command = [program, "--save", "", "--dir", str(directory), "--bind", "127.0.0.1"]
        if tls:
            make_certificate(key, certificate, is_expired=is_expired)
            self.command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            self.command += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
            self.command += ["--tls-ca-cert-file", str(certificate)]
        else:
            self.command += ["--port", str(self.port)]
        authority = certificate.read_text() if tls else ""
        host = "localhost" if tls else "127.0.0.1"
        secret_directory(self.secret, host, self.port, password=self.password, user=self.user, authority=authority)
        self.start()

    def start(self) -> None:
        login = f"requirepass {self.password}\n"
        if self.permissions:
            login = f"user default off\nuser {self.user} on >{self.password} {self.permissions}\n"
        (self.directory / "conf").write_text(login)
        with (self.directory / "log").open("ab") as output:
            command = [self.command[0], str(self.directory / "conf"), *self.command[1:]]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 - likewise
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(redis.ConnectionError):
                self.admin().ping()
                return
            time.sleep(0.02)
        raise AssertionError((self.directory / "log").read_text())

    def admin(self) -> redis.Redis:
        """Return a client that may do anything, or the user with some permissions only."""
        return redis.Redis(
            "127.0.0.1", self.port, username=self.user, password=self.password, ssl=self.tls, ssl_cert_reqs="none"
        )

    def change_password(self, password: str) -> None:
        """Change the password, and close all other connections, as a restart would."""
        admin = self.admin()
        admin.config_set("requirepass", password)
        self.password = password
        admin.client_kill_filter(_type="normal", skipme=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class SlowNetwork:
    """Connections to a server on this machine whose answers arrive late."""

    def __init__(self, port: int) -> None:
        self.target, self.seconds = port, 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for source, target, is_late in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=[source, target, is_late], daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_late: bool) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                if is_late:
                    time.sleep(self.seconds)
                target.sendall(data)

    def stop(self) -> None:
        self.listener.close()
