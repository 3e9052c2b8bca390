# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Run SQL as the administrator of a PostgreSQL server, with psql in the server's pod or in a client pod."""

import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running

# All in seconds: for a script, for the start of a client pod, and between two checks of a certificate.
SCRIPT_SECONDS = 90
POD_SECONDS = 60
POLL_SECONDS = 0.5
# A server that has just started, or recovers from a crash, rejects connections at first.
START_SECONDS = 15
STARTING = ("starting up", "not yet accepting connections", "in recovery mode", "shutting down")
REFUSALS = ("authentication failed", "pg_hba.conf", "is not permitted to log in", "permission denied for database")
# PostgreSQL stops without space for one more write-ahead log file of 16 MiB.
LEAST_FREE_KIB = 16 * 1024
PLAIN_PSQL = ("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--file=-")
PSQL = (*PLAIN_PSQL, "--dbname=postgres")
WITH_FREE_SPACE = 'df -Pk "$PGDATA" | tail -n 1; exec "$@"'
WITH_PASSWORD = 'PGPASSWORD="$(cat /run/secrets/admin/password)"; export PGPASSWORD; exec "$@"'
# A login of the user comes through the standard input, before the script. `read` takes no more than its line.
AS_LOGIN = (
    "IFS= read -r PGDATABASE; IFS= read -r PGUSER; IFS= read -r PGPASSWORD; export PGDATABASE PGUSER PGPASSWORD; "
    'exec "$@"'
)
SSL_REQUEST = struct.pack("!ii", 8, 80877103)

STATE_QUERY = """SELECT jsonb_build_object('certificate', pg_read_file(current_setting('ssl_cert_file')),
 'loaded', pg_conf_load_time() > (pg_stat_file(current_setting('ssl_cert_file'))).modification,
 'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = {admin}),
 'admin', EXISTS (SELECT FROM pg_authid WHERE rolname = {admin}))"""


@dataclass
class Server:
    """A server, and the pod in which psql runs.

    Args:
        pod: the server's pod, where the administrator connects through the socket, or a client pod.
        where: name of the server in errors.
        external: host and port of an external server, which the client pod connects to.
    """

    client: Client
    pod: str
    container: str
    where: str
    external: tuple[str, int] | None = None

    def run(self, script: str, wrapper: str = "") -> Result:
        """Run a script, with retries while the server starts."""
        wrapper = WITH_PASSWORD if self.external else wrapper
        return self._run([*(("sh", "-c", wrapper, "sh") if wrapper else ()), *PSQL], script)

    def log_in(self, database: str, user: str, password: str, script: str) -> Result:
        """Run a script as a login of the user, whose password has no line break."""
        given = "".join(f"{value}\n" for value in (database, user, password))
        return self._run(["sh", "-c", AS_LOGIN, "sh", *PLAIN_PSQL], given + script)

    def _run(self, command: Sequence[str], script: str) -> Result:
        until = time.monotonic() + START_SECONDS
        while True:
            ended = self.client.exec(self.pod, self.container, command, script, timeout=SCRIPT_SECONDS)
            if not (ended.code and any(words in ended.err for words in STARTING) and time.monotonic() < until):
                return ended
            time.sleep(POLL_SECONDS)

    def output(self, script: str, needs_space: bool = False) -> str:
        """Return the output of a script. Raises ServerError if it fails, or needs space on a full volume."""
        ended = self.run(script, WITH_FREE_SPACE if needs_space else "")
        if needs_space and not self.external:
            refuse_full_volume(ended.out, self.pod)
        if ended.code:
            raise explain(ended.err, self.where, self.external)
        return ended.out

    def sql(self, statement: str) -> str:
        """Run a statement and return its output."""
        return self.output(f"{catalog.PREAMBLE}{catalog.SESSION}{statement};\n\\q\n")

    def logs_in(self, database: str, role: str, password: str) -> bool:
        """Return whether a password is correct, by a login. A login that fails for another reason counts as correct."""
        connection = catalog.conninfo(dbname=database, user=role, password=password)
        ended = self.run(f"{catalog.PREAMBLE}\\connect {connection}\n\\q\n")
        return "password authentication failed" not in ended.err

    def state(self, admin: str = "") -> dict[str, Any]:
        """Return the certificate in the server's volume, whether it is loaded, and the stored data of a role."""
        return catalog.parsed(self.sql(catalog.one_line(STATE_QUERY.format(admin=catalog.literal(admin)))))

    def set_password(self, role: str, verifier: str) -> None:
        """Set the password of a role. Needs a superuser."""
        self.sql(f"{catalog.QUIET}ALTER ROLE {catalog.ident(role)} PASSWORD {catalog.literal(verifier)}")

    def load_certificate(self, certificate: str, timeout: float) -> None:
        """Make the server load the certificate of its Secret. Raises ServerError after `timeout` seconds."""
        pace = Pace()
        # The kubelet updates a pod's volumes at once if the pod changes, and otherwise after a minute or more.
        asked = {"cloud-django/certificate-asked-for": f"{time.time():.0f}"}
        self.client.patch("Pod", self.pod, {"metadata": {"annotations": asked}})
        reloaded = False
        while True:
            state = self.state()
            if state["certificate"] == certificate and state["loaded"] and reloaded:
                return
            if state["certificate"] == certificate:
                self.sql("SELECT pg_reload_conf()")
                reloaded = True
            if pace.seconds > timeout:
                raise ServerError(
                    f"The server in pod {self.pod}",
                    f"does not serve its renewed certificate after {timeout:g} s",
                    f"Read its log, or delete the pod to load the certificate, {AGAIN}",
                )
            pace.tell(f"The server in pod {self.pod} has not loaded its renewed certificate")
            time.sleep(POLL_SECONDS)


@contextmanager
def temporary_pod(client: Client, manifest: dict[str, Any]) -> Iterator[str]:
    """Yield the name of a new pod, which is deleted at the end."""
    # A random suffix, so that two plays at the same time do not share a pod.
    name = f"{manifest['metadata']['name']}-{secrets.token_hex(3)}"
    client.create(manifest | {"metadata": manifest["metadata"] | {"name": name}})
    try:
        yield name
    finally:
        client.delete("Pod", name, grace=0)


@contextmanager
def external_server(client: Client, manifest: dict[str, Any], host: str, port: int) -> Iterator[Server]:
    """Yield an external server, with a new client pod, which is deleted at the end."""
    with temporary_pod(client, manifest) as name:
        wait_until_running(client, name, POD_SECONDS)
        yield Server(client, name, manifest["spec"]["containers"][0]["name"], f"{host}:{port}", (host, port))


def refuse_full_volume(out: str, pod: str) -> None:
    """Raise ServerError if the line of `df` before the catalog shows too little space for a write-ahead log file."""
    match = re.match(r"\S.*?\s(\d+)\s+(\d+)\s+(\d+)\s+(\d+)%\s", out)
    if match and int(match[3]) < LEAST_FREE_KIB:
        free, whole = int(match[3]) // 1024, int(match[1]) // 1024
        raise ServerError(
            f"The volume of pod {pod}",
            f"is full: {free} MiB of {whole} MiB are free, and writes fail",
            f"Raise postgresql_storage_size or delete rows, {AGAIN}",
        )


def shown_certificate(host: str, port: int, limit: float = 3.0) -> bytes:
    """Return the DER certificate of a server. Empty if the control node cannot reach the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=limit) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return b""
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return secure.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


DNS_ADVICE = "Check that the cluster DNS runs, and that django_dns_egress allows its address and port"
NO_BUNDLE = "Use a database_client_image with CA certificates at the path in database_ca_bundle"
# Output of psql, problem, and next step. The first match counts. Everything else is a rejected statement.
CAUSES = (
    (("root certificate file",), "cannot be checked", NO_BUNDLE),
    (("does not support SSL",), "offers no TLS", "Enable TLS on the server, or set database_sslmode to disable"),
    (("FATAL: database",), "lacks the database", "Create it or correct database_name"),
    (("certificate verify failed",), "cannot be trusted", "Renew its certificate or correct the certificate authority"),
    (("does not match host name",), "cannot be trusted", "Correct its certificate or the host"),
    (("No space left on device",), "has a full volume", "Expand the volume"),
    (REFUSALS, "rejects {user}", "Correct {source} or the server"),
    (("Temporary failure in name resolution",), "cannot be found, because DNS does not answer in the pod", DNS_ADVICE),
    (("connection to server", "could not translate host name"), "cannot be reached", "Start it or correct its address"),
    (("",), "rejects a statement, which changed nothing", "Correct the cause"),
)


def explain(
    err: str,
    where: str,
    external: tuple[str, int] | None = None,
    user: str = "the administrator",
    source: str = "the admin Secret",
) -> ServerError:
    """Return the error for the error output of psql.

    Args:
        user: the login that psql used, and `source` its source, for the next step.
    """
    lines = [line for line in err.splitlines() if not re.match(r"LINE \d+:|\s*\^|\s+Is the server running", line)]
    text = short(re.sub(r"psql:(<stdin>:\d+:|/?\S*:\d+:)? ?(error: )?", "", " ".join(lines)))
    cause = re.sub(r'connection to server (at|on socket) "[^"]*"( \([^)]*\))?(, port \d+)? failed: ', "", text)
    if "certificate verify failed" in text:
        shown = shown_certificate(*external) if external else b""
        cause = certificates.served_fault(shown, certificates.current_time()) if shown else ""
        cause = cause or "its certificate is expired, or not signed by the certificate authority in the Secret"
    problem, step = next(rest for words, *rest in CAUSES if any(word in text for word in words))
    problem, step = problem.format(user=user), step.format(source=source)
    return ServerError(f"The database server {where}", f"{problem}: {cause}", f"{step}, {AGAIN}")
