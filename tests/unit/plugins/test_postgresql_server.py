"""SQL on a PostgreSQL server with a fake client, and its errors."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import server
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server
from postgresql_cases import FakeClient


def test_a_starting_server_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.time, "sleep", lambda _: None)
    answers = iter([Result(2, "", "FATAL: the database system is starting up"), Result(0, "{}", "")])
    client = FakeClient()
    client.answers = lambda script: next(answers)
    assert Server(client, "p", "c", "h:1").output("x") == "{}"


def test_a_full_volume_refuses_only_scripts_that_need_space() -> None:
    """Otherwise, a run could not expand a full volume."""
    client = FakeClient()
    client.answers = lambda script: Result(0, "/dev/vda1 1048576 1000 1 99% /data\n{}", "")
    own = Server(client, "p", "c", "h:1")
    assert own.output("x").endswith("{}")
    with pytest.raises(ServerError, match="The volume of pod p is full"):
        own.output("x", needs_space=True)
    assert Server(client, "p", "c", "h:1", ("h", 1)).output("x", needs_space=True)


def test_a_client_gets_the_password_from_its_file_and_the_server_needs_none() -> None:
    commands = []
    client = FakeClient()
    client.exec = lambda pod, container, command, stdin, timeout: commands.append(command) or Result(0, "", "")
    Server(client, "p", "c", "h:1").sql("SELECT 1")
    Server(client, "p", "c", "h:1", ("h", 1)).sql("SELECT 1")
    assert commands[0][0] == "psql"
    assert commands[1][:2] == ["sh", "-c"]
    assert "/run/secrets/admin/password" in commands[1][2]
    assert commands[1][4:] == commands[0]


@pytest.mark.parametrize(("free", "is_full"), [(16 * 1024 - 1, True), (16 * 1024, False), (0, True)])
def test_a_full_volume_is_reported(free: int, is_full: bool) -> None:
    line = f"/dev/vda1    1048576 1000 {free}  99% /var/lib/postgresql/data\n{{}}"
    if not is_full:
        server.refuse_full_volume(line, "pod")
        return
    with pytest.raises(ServerError, match=f"The volume of pod pod is full: {free // 1024} MiB of 1024 MiB are free"):
        server.refuse_full_volume(line, "pod")


SERVER = "The database server db:1"
FAILED = 'psql: error: connection to server at "db" (10.0.0.1), port 5432 failed: '
AGAIN = f"{client.AGAIN}."


@pytest.mark.parametrize(
    ("err", "sentence"),
    [
        (
            f"{FAILED}Connection refused\n\tIs the server running on that host?\n",
            f"{SERVER} cannot be reached: Connection refused. Start it or correct its address, {AGAIN}",
        ),
        (
            'psql: error: could not translate host name "db" to address: Name or service not known\n',
            f'{SERVER} cannot be reached: could not translate host name "db" to address: Name or service not known. '
            f"Start it or correct its address, {AGAIN}",
        ),
        (
            'psql: error: could not translate host name "db" to address: Temporary failure in name resolution\n',
            f"{SERVER} cannot be found, because DNS does not answer in the pod: could not translate host name "
            '"db" to address: Temporary failure in name resolution. Check that the cluster DNS runs, and that '
            f"django_dns_egress allows its address and port, {AGAIN}",
        ),
        (
            f"{FAILED}SSL error: certificate verify failed\n",
            f"{SERVER} cannot be trusted: its certificate is expired, or not signed by the certificate authority in "
            f"the Secret. Renew its certificate or correct the certificate authority, {AGAIN}",
        ),
        (
            f'{FAILED}server certificate for "other" does not match host name "db"\n',
            f'{SERVER} cannot be trusted: server certificate for "other" does not match host name "db". '
            f"Correct its certificate or the host, {AGAIN}",
        ),
        (
            f'{FAILED}FATAL:  password authentication failed for user "boss"\n',
            f'{SERVER} rejects the administrator: FATAL: password authentication failed for user "boss". '
            f"Correct the admin Secret or the server, {AGAIN}",
        ),
        (
            "psql:<stdin>:12: ERROR:  permission denied\nDETAIL:  Only roles with CREATEROLE may.\nLINE 1: x\n   ^",
            f"{SERVER} rejects a statement, which changed nothing: ERROR: permission denied "
            f"DETAIL: Only roles with CREATEROLE may. Correct the cause, {AGAIN}",
        ),
        (
            'psql:<stdin>:12: ERROR:  could not extend file "base/1": No space left on device\n',
            f'{SERVER} has a full volume: ERROR: could not extend file "base/1": '
            f"No space left on device. Expand the volume, {AGAIN}",
        ),
    ],
)
def test_errors_of_psql_are_explained(err: str, sentence: str) -> None:
    assert str(server.explain(err, "db:1")) == sentence
