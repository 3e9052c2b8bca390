# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""SQL as the administrator of a PostgreSQL server, by psql in the server's own pod or in a client's pod."""

import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog, certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running

# All in seconds: for a script, for a client's pod, and between two looks at a certificate.
SCRIPT_SECONDS = 90
POD_SECONDS = 60
POLL_SECONDS = 0.5
# A server that has just started, or that recovers from a crash, refuses at first.
START_SECONDS = 15
STARTING = ("starting up", "not yet accepting connections", "in recovery mode", "shutting down")
REFUSALS = ("authentication failed", "pg_hba.conf", "is not permitted to log in", "permission denied for database")
# PostgreSQL needs room for one more file of its write-ahead log, 16 MiB, or it stops.
LEAST_FREE_KIB = 16 * 1024
PSQL = ("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname=postgres", "--file=-")
WITH_FREE_SPACE = 'df -Pk "$PGDATA" | tail -n 1; exec "$@"'
WITH_PASSWORD = 'PGPASSWORD="$(cat /run/secrets/admin/password)"; export PGPASSWORD; exec "$@"'
SSL_REQUEST = struct.pack("!ii", 8, 80877103)

STATE_QUERY = """SELECT jsonb_build_object('certificate', pg_read_file(current_setting('ssl_cert_file')),
 'loaded', pg_conf_load_time() > (pg_stat_file(current_setting('ssl_cert_file'))).modification,
 'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = {admin}),
 'admin', EXISTS (SELECT FROM pg_authid WHERE rolname = {admin}))"""


@dataclass
class Server:
    """A server, and the pod in which psql runs.

    Args:
        pod: the server's own, where the administrator may enter over the socket, or one with a client.
        where: how errors name the server.
        external: host and port of a server outside of the cluster, for which the pod has a client.
    """

    client: Client
    pod: str
    container: str
    where: str
    external: tuple[str, int] | None = None

    def run(self, script: str, wrapper: str = "") -> Result:
        """Run a script, again for a while if the server has only just started."""
        wrapper = WITH_PASSWORD if self.external else wrapper
        command = [*(("sh", "-c", wrapper, "sh") if wrapper else ()), *PSQL]
        until = time.monotonic() + START_SECONDS
        while True:
            ended = self.client.exec(self.pod, self.container, command, script, timeout=SCRIPT_SECONDS)
            if not (ended.code and any(words in ended.err for words in STARTING) and time.monotonic() < until):
                return ended
            time.sleep(POLL_SECONDS)

    def output(self, script: str, needs_space: bool = False) -> str:
        """Return what a script prints. Raises ServerError if it fails, or if it needs space and the volume is full."""
        ended = self.run(script, WITH_FREE_SPACE if needs_space else "")
        if needs_space and not self.external:
            refuse_full_volume(ended.out, self.pod)
        if ended.code:
            raise explain(ended.err, self.where, self.external)
        return ended.out

    def sql(self, statement: str) -> str:
        """Run a statement and return what it prints."""
        return self.output(f"{catalog.PREAMBLE}{catalog.SESSION}{statement};\n\\q\n")

    def logs_in(self, database: str, role: str, password: str) -> bool:
        """Tell whether a password is right, by trying. A refusal for another reason counts as right."""
        connection = catalog.conninfo(dbname=database, user=role, password=password)
        ended = self.run(f"{catalog.PREAMBLE}\\connect {connection}\n\\q\n")
        return "password authentication failed" not in ended.err

    def state(self, admin: str = "") -> dict[str, Any]:
        """Return which certificate the server's volume has, whether it is loaded, and what is stored of a role."""
        return catalog.parsed(self.sql(catalog.one_line(STATE_QUERY.format(admin=catalog.literal(admin)))))

    def set_password(self, role: str, verifier: str) -> None:
        """Set the password of a role. Needs a superuser."""
        self.sql(f"{catalog.QUIET}ALTER ROLE {catalog.ident(role)} PASSWORD {catalog.literal(verifier)}")

    def load_certificate(self, certificate: str, timeout: float) -> None:
        """Have the server load the certificate of its Secret. Raises ServerError after `timeout` seconds without."""
        pace = Pace()
        # kubelet looks after a pod's volumes at once when the pod itself changes, and else after a minute or more.
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
                    f"Look into its log, {AGAIN}; deleting the pod helps in any case",
                )
            pace.tell(f"the server in pod {self.pod} does not have its renewed certificate yet")
            time.sleep(POLL_SECONDS)


@contextmanager
def temporary_pod(client: Client, manifest: dict[str, Any]) -> Iterator[str]:
    """Yield the name of a new pod, which is removed at the end."""
    # A name of its own, so that two plays at the same time do not share a pod.
    name = f"{manifest['metadata']['name']}-{secrets.token_hex(3)}"
    client.create(manifest | {"metadata": manifest["metadata"] | {"name": name}})
    try:
        yield name
    finally:
        client.delete("Pod", name, grace=0)


@contextmanager
def external_server(client: Client, manifest: dict[str, Any], host: str, port: int) -> Iterator[Server]:
    """Yield a server outside of the cluster, by a new pod with psql, which is removed at the end."""
    with temporary_pod(client, manifest) as name:
        wait_until_running(client, name, POD_SECONDS)
        yield Server(client, name, manifest["spec"]["containers"][0]["name"], f"{host}:{port}", (host, port))


def refuse_full_volume(out: str, pod: str) -> None:
    """Raise ServerError if the line of `df` before the catalog has no room for another file of the log."""
    match = re.match(r"\S.*?\s(\d+)\s+(\d+)\s+(\d+)\s+(\d+)%\s", out)
    if match and int(match[3]) < LEAST_FREE_KIB:
        free, whole = int(match[3]) // 1024, int(match[1]) // 1024
        raise ServerError(
            f"The volume of pod {pod}",
            f"is full: {free} MiB of {whole} MiB are free, and writes fail",
            f"Raise postgresql_storage_size or remove rows, {AGAIN}",
        )


def shown_certificate(host: str, port: int, limit: float = 3.0) -> bytes:
    """Return the certificate that a server shows this machine, in DER; empty if it cannot be reached from here."""
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


DNS_ADVICE = "Check that the DNS of the cluster runs, and that django_dns_egress allows its address and port"
# What psql prints, what that means, and what helps; the first that fits counts. The rest is a refused statement.
CAUSES = (
    (("certificate verify failed",), "cannot be trusted", "Renew it or correct the authority"),
    (("does not match host name",), "cannot be trusted", "Correct its certificate or the host"),
    (("No space left on device",), "has a full volume", "Enlarge it"),
    (REFUSALS, "refuses the administrator", "Correct the admin Secret or the server"),
    (("Temporary failure in name resolution",), "cannot be found, because DNS does not answer in the pod", DNS_ADVICE),
    (("connection to server", "could not translate host name"), "cannot be reached", "Start it or correct its address"),
    (("",), "refuses a statement, which changed nothing", "Correct the cause"),
)


def explain(err: str, where: str, external: tuple[str, int] | None = None) -> ServerError:
    """Return the error for what psql printed."""
    lines = [line for line in err.splitlines() if not re.match(r"LINE \d+:|\s*\^|\s+Is the server running", line)]
    text = short(re.sub(r"psql:(<stdin>:\d+:|/?\S*:\d+:)? ?(error: )?", "", " ".join(lines)))
    cause = re.sub(r'connection to server (at|on socket) "[^"]*"( \([^)]*\))?(, port \d+)? failed: ', "", text)
    if "certificate verify failed" in text:
        shown = shown_certificate(*external) if external else b""
        cause = certificates.served_fault(shown, certificates.current_time()) if shown else ""
        cause = cause or "its certificate is not signed by the authority in the Secret, or it has expired"
    problem, step = next(rest for words, *rest in CAUSES if any(word in text for word in words))
    return ServerError(f"The database server {where}", f"{problem}: {cause}", f"{step}, {AGAIN}")
