"""The module postgresql_access with a fake client: errors, statements, and Secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import access, catalog, plan, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server
from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_access
from postgresql_cases import OURS, READY, FakeClient, assert_documented, secret, thing, values_of


def wishes(**changes: Any) -> dict[str, Any]:
    roles = [("migrate", "owner"), ("app", "write"), ("read", "read")]
    return {
        "namespace": "polls",
        "labels": OURS,
        "state": "present",
        "access": "managed",
        "pod": "polls-postgresql-0",
        "container": "postgresql",
        "client_pod": None,
        "required_secrets": {},
        "server_host": "polls-postgresql.polls.svc",
        "server_port": 5432,
        "ca_secret": "polls-postgresql-ca",
        "ca_file": "/run/secrets/database/ca.crt",
        "sslmode": "verify-full",
        "database": "polls",
        "schema": "polls",
        "owner": "polls_owner",
        "roles": [
            {
                "name": f"polls_{name}",
                "access": kind,
                "secret": f"polls-database-{name}",
                "password": None,
                "source": None,
                "connection_limit": -1,
                "settings": {},
            }
            for name, kind in roles
        ],
        "extensions": [],
        "connections": 10,
        "expected_connections": 100,
    } | changes


class Database:
    """Answers like an empty server, and after a writing script like a server in the wanted state."""

    def __init__(self, client: FakeClient, is_applied: bool = True) -> None:
        client.answers = self
        self.written: list[str] = []
        self.is_applied = is_applied

    def __call__(self, script: str) -> Result:
        if "pg_advisory_xact_lock" in script:
            self.written.append(script)
            return Result(0, "", "")
        if self.written and self.is_applied:
            return Result(0, self.done(), "")
        empty = catalog.nothing(connections=100)
        return Result(0, f"/dev/x 1000000 1 999999 1% /data\n{json.dumps(empty)}\n", "")

    def done(self) -> str:
        verifiers = dict(
            part.split(" ")[2].strip('"') and (part.split('"')[1], part.split("PASSWORD '")[1].split("'")[0])
            for part in self.written[0].splitlines()
            if "PASSWORD '" in part
        )
        role = plan.attributes(True, -1) | {"expires": False}
        names = ("polls_migrate", "polls_app", "polls_read")
        connect = [[name, "CONNECT", False] for name in names]
        usage = [[name, "USAGE", False] for name in names[1:]]
        rights = {"r": ["SELECT", "INSERT", "UPDATE", "DELETE"], "S": ["USAGE"]}
        defaults = {
            kind: [["polls_app", right, False] for right in of] + [["polls_read", "SELECT", False]]
            for kind, of in rights.items()
        }
        return json.dumps(
            catalog.nothing(connections=100)
            | {
                "roles": {"polls_owner": role | {"login": False}} | {name: role for name in names},
                "memberships": [
                    {
                        "role": "polls_owner",
                        "member": "polls_migrate",
                        "grantor": "postgres",
                        "admin": False,
                        "inherit": False,
                        "set": True,
                    }
                ],
                "settings": {name: ["search_path=polls", "role=polls_owner"] for name in names},
                "database": {"owner": "polls_owner", "encoding": "UTF8", "acl": connect},
                "schema": {"owner": "polls_owner", "acl": usage},
                "public": None,
                "defaults": defaults,
                "extensions": [],
                "relations": [],
                "verifiers": verifiers,
            }
        )


@pytest.fixture
def ready() -> FakeClient:
    """Return a cluster with a ready server and its certificate authority."""
    return FakeClient(thing("Pod", "polls-postgresql-0", status=READY), secret("polls-postgresql-ca", tls_crt="PEM"))


def test_an_empty_server_gets_a_database_and_secrets(ready: FakeClient) -> None:
    server = Database(ready)
    reported = access.present(wishes(), False, ready)
    assert reported["changed"]
    assert reported["changes"][-3:] == [f"create Secret polls-database-{name}" for name in ("migrate", "app", "read")]
    values = values_of(ready, "polls-database-migrate")
    password, server_name = values["password"], "polls-postgresql.polls.svc"
    tls = "sslmode=verify-full&sslrootcert=/run/secrets/database/ca.crt"
    assert values == {
        "host": server_name,
        "port": "5432",
        "database": "polls",
        "schema": "polls",
        "owner": "polls_owner",
        "username": "polls_migrate",
        "password": password,
        "sslmode": "verify-full",
        "sslrootcert": "/run/secrets/database/ca.crt",
        "ca.crt": "PEM",
        "role": "polls_owner",
        "url": f"postgres://polls_migrate:{password}@{server_name}:5432/polls?{tls}",
        "uri": f"postgresql://polls_migrate:{password}@{server_name}:5432/polls?{tls}",
        "address": f"postgres://polls_migrate@{server_name}:5432/polls",
        "service": f"[default]\nhost={server_name}\nport=5432\ndbname=polls\nuser=polls_migrate\n"
        f"password={password}\nsslmode=verify-full\nsslrootcert=/run/secrets/database/ca.crt\n",
    }
    assert "role" not in values_of(ready, "polls-database-app")
    for name in ("migrate", "app", "read"):
        password = values_of(ready, f"polls-database-{name}")["password"]
        assert len(password) == 32
        assert password not in json.dumps(reported) + "".join(ready.scripts)
    assert "SCRAM" not in json.dumps(reported)
    assert len(server.written) == 1
    again = access.present(wishes(), False, ready)
    assert (again["changed"], again["changes"]) == (False, [])


def test_check_mode_writes_no_statements_and_no_secrets(ready: FakeClient) -> None:
    server = Database(ready)
    assert access.present(wishes(), True, ready)["changed"]
    assert (server.written, ready.notes) == ([], [])


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_without_a_server_returns_the_full_plan(exists: bool) -> None:
    reported = access.present(wishes(), True, FakeClient(exists=exists))
    assert "create database polls" in reported["changes"]


def test_check_mode_without_a_server_returns_the_future_limit() -> None:
    given = wishes(expected_connections=200)
    given["roles"][1]["connection_limit"] = -15
    reported = access.present(given, True, FakeClient())
    assert "CONNECTION LIMIT 185 " in str(reported["diff"])


def test_an_unready_server_is_reported() -> None:
    with pytest.raises(
        ServerError, match="The database server in pod polls-postgresql-0 of namespace polls is not ready"
    ):
        access.present(wishes(), False, FakeClient())


def test_a_change_that_is_reverted_is_reported(ready: FakeClient) -> None:
    Database(ready, is_applied=False)
    with pytest.raises(
        ServerError, match="Database polls still differs after the changes were applied: create role polls_owner"
    ):
        access.present(wishes(), False, ready)
    assert ready.notes == []


def test_a_refused_statement_leaves_no_secret(ready: FakeClient) -> None:
    server = Database(ready)

    def refuse(script: str) -> Result:
        return Result(3, "", "psql:<stdin>:9: ERROR:  out of luck\n") if "BEGIN;" in script else server(script)

    ready.answers = refuse
    with pytest.raises(ServerError, match="rejects a statement, which changed nothing: ERROR: out of luck"):
        access.present(wishes(), False, ready)
    assert ready.notes == []


def test_given_passwords_are_set_and_stored_ones_reused(ready: FakeClient) -> None:
    Database(ready)
    ready.apply(secret("polls-database-app", username="polls_app", password="kept"))
    given = wishes()
    given["roles"][2]["password"] = "given"
    access.present(given, False, ready)
    assert values_of(ready, "polls-database-app")["password"] == "kept"
    assert values_of(ready, "polls-database-read")["password"] == "given"


def test_secrets_of_roles_are_checked_first(ready: FakeClient) -> None:
    ready.apply(secret("polls-database-app", username="polls_app"))
    with pytest.raises(ManifestError, match="Secret polls-database-app in namespace polls has no password"):
        access.present(wishes(), False, ready)
    ready.apply(secret("polls-database-app", ours=False, username="a", password="b"))
    with pytest.raises(ManifestError, match="already exists and isn't managed by this collection"):
        access.present(wishes(), False, ready)
    assert ready.scripts == []


def test_invalid_names_and_passwords_are_refused(ready: FakeClient) -> None:
    with pytest.raises(ManifestError, match="The name Polls is not valid in the database"):
        access.present(wishes(schema="Polls"), False, ready)
    for password, reason in {
        "a\0b": "has a NUL byte",
        "hunter2\n": "has a line break",
        "hun\nter2": "has a line break",
        "hunter2 ": "ends in a blank, which libpq's service file cannot hold. Choose another, then rerun the playbook",
    }.items():
        given = wishes()
        given["roles"][0]["password"] = password
        with pytest.raises(ManifestError, match=reason) as raised:
            access.present(given, False, ready)
        assert password not in str(raised.value)


def test_a_stored_password_with_a_line_feed_is_refused(ready: FakeClient) -> None:
    """The line feed is part of the password for the server, but not for a reader of the file."""
    ready.apply(secret("polls-database-app", username="polls_app", password="hunter2\n"))
    with pytest.raises(ManifestError, match="The password of role polls_app has a line break"):
        access.present(wishes(), False, ready)
    assert ready.scripts == []


def external(**changes: Any) -> dict[str, Any]:
    manifest = {
        "metadata": {"name": "polls-database-client"},
        "spec": {"containers": [{"name": "psql"}]},
        "kind": "Pod",
    }
    needed = {"polls-postgresql-admin": ["username", "password"], "polls-postgresql-ca": ["tls.crt"]}
    return wishes(client_pod=manifest, required_secrets=needed, server_host="db.example.org", **changes)


def test_a_client_pod_is_deleted_even_after_a_failure(ready: FakeClient) -> None:
    with pytest.raises(ManifestError, match="Secret polls-postgresql-admin in namespace polls is missing"):
        access.present(external(), False, ready)
    ready.apply(secret("polls-postgresql-admin", username="boss"))
    with pytest.raises(ManifestError, match="Secret polls-postgresql-admin in namespace polls has no password"):
        access.present(external(), False, ready)
    ready.apply(secret("polls-postgresql-admin", username="boss", password="s3cret"))
    ready.notes.clear()
    ready.answers = lambda script: Result(2, "", 'psql: error: connection to server at "x", port 1 failed: refused')
    with pytest.raises(ServerError, match=r"The database server db\.example\.org:5432 cannot be reached: refused"):
        access.present(external(), False, ready)
    name = ready.notes[0].removeprefix("create ")
    assert name.startswith("polls-database-client-")
    assert ready.notes == [f"create {name}", f"delete Pod/{name}"]


def test_without_permission_to_read_verifiers_logins_are_tried() -> None:
    wanted = access.wanted_state(wishes(), {"polls-database-app": {"password": "it's"}})
    found = catalog.nothing() | {"roles": {"polls_app": {}, "polls_read": {}}, "database": {}}
    del found["verifiers"]
    client = FakeClient()
    answers = iter(
        [Result(2, "", 'FATAL: password authentication failed for user "polls_app"'), Result(2, "", "too many")]
    )
    client.answers = lambda script: next(answers)
    server = Server(client, "client", "psql", "h:1", ("h", 1))
    assert access.wrong_passwords(wanted, found, server) == {"polls_app"}
    assert "\\connect 'postgresql:///?dbname=postgres&user=polls_app&password=it%27s'" in client.scripts[0]


def test_verifiers_show_wrong_passwords() -> None:
    held = {f"polls-database-{name}": {"password": name} for name in ("migrate", "app", "read")}
    wanted = access.wanted_state(wishes(), held)
    found = catalog.nothing() | {"roles": {name: {} for name in ("polls_owner", "polls_migrate", "polls_app")}}
    found["verifiers"] = {"polls_owner": None, "polls_migrate": "md5x", "polls_app": scram.verifier("app")}
    assert access.wrong_passwords(wanted, found, None) == {"polls_migrate"}
    found["verifiers"]["polls_owner"] = scram.verifier("x")
    assert access.wrong_passwords(wanted, found, None) == {"polls_migrate", "polls_owner"}


def test_absent_removes_managed_secrets_and_an_external_database(ready: FakeClient) -> None:
    ready.apply(secret("polls-database-app", username="polls_app", password="s3cret"))
    ready.apply(secret("polls-database-read", ours=False, username="polls_read", password="s3cret"))
    ready.notes.clear()
    assert access.absent(wishes(), True, ready)["changed"]
    assert ready.notes == []
    reported = access.absent(wishes(), False, ready)
    assert (reported["changes"], ready.notes) == (
        ["remove Secret polls-database-app"],
        ["delete Secret/polls-database-app"],
    )
    assert ready.scripts == []
    assert access.absent(external(), False, ready)["changed"] is False
    ready.apply(secret("polls-database-app", username="polls_app", password="s3cret"))
    reported = access.absent(external(), False, ready)
    assert reported["changes"][0] == "drop database polls and its roles"
    assert 'DROP DATABASE IF EXISTS "polls"' in ready.scripts[0]


# --- Logins that exist already ----------------------------------------------------------------------------------------

ANSWER = {"schema": "public", "creates": True, "extensions": ["plpgsql", "citext"]}


def given_logins(**changes: Any) -> dict[str, Any]:
    roles = [
        {"name": name, "access": access, "secret": f"polls-database-{login}", "connection_limit": -1, "settings": {}}
        | {"password": None, "source": {"secret": "rds-polls", "key": key}}
        for login, access, name, key in (("app", "write", "shop", "app"), ("migrate", "owner", "shop@x", "migrate"))
    ]
    options = {"access": "given", "roles": roles, "owner": "", "schema": "public", "extensions": ["citext"]}
    return external() | {"required_secrets": {}, "ca_secret": None, "sslmode": "require"} | options | changes


@pytest.fixture
def rds() -> FakeClient:
    """Return a cluster with a Secret of the user, and a server that accepts its passwords."""
    client = FakeClient(secret("rds-polls", ours=False, app="s3cret a\n", migrate="s3cret m"))
    client.answers = lambda script: Result(0, f"{json.dumps(ANSWER)}\n", "")
    return client


def test_given_logins_are_tried_and_get_secrets(rds: FakeClient) -> None:
    reported = access.run(given_logins(), False, rds)
    assert reported == {
        "changed": True,
        "changes": ["create Secret polls-database-app", "create Secret polls-database-migrate"],
    }
    assert [script.split("\n")[:3] for script in rds.scripts] == [
        ["polls", "shop", "s3cret a"],
        ["polls", "shop@x", "s3cret m"],
    ]
    values = values_of(rds, "polls-database-app")
    assert values["url"] == "postgres://shop:s3cret%20a@db.example.org:5432/polls?sslmode=require"
    assert (values["ca.crt"], values["sslrootcert"], values["owner"]) == ("", "", "shop@x")
    assert "sslrootcert" not in values["service"]
    assert "role" not in values
    migrate = values_of(rds, "polls-database-migrate")
    assert (migrate["role"], migrate["address"]) == ("shop@x", "postgres://shop%40x@db.example.org:5432/polls")
    rds.notes.clear()
    again = access.run(given_logins(), False, rds)
    assert (again["changed"], [note for note in rds.notes if note.startswith("apply")]) == (False, [])


def test_a_login_of_both_secrets_is_tried_once(rds: FakeClient) -> None:
    given = given_logins()
    for role in given["roles"]:
        role |= {"name": "shop", "password": "s3cret b", "source": None}
    access.run(given, False, rds)
    assert len(rds.scripts) == 1
    assert values_of(rds, "polls-database-migrate")["password"] == "s3cret b"


def test_check_mode_tries_the_logins_and_writes_no_secrets(rds: FakeClient) -> None:
    assert len(access.run(given_logins(), True, rds)["changes"]) == 2
    assert len(rds.scripts) == 2
    assert not [note for note in rds.notes if note.startswith("apply")]
    planned = access.run(given_logins(), True, FakeClient(exists=False))
    assert planned["changes"] == ["create Secret polls-database-app", "create Secret polls-database-migrate"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"extensions": []},
            "Extension citext is missing in database polls, which the project needs. Have an administrator run "
            '`CREATE EXTENSION "citext"` in the database, then rerun',
        ),
        (
            {"schema": "other"},
            "Login shop uses schema other in database polls, not public. Set database_schema, or run",
        ),
        ({"schema": None}, "Login shop has no schema in its search_path in database polls, not public."),
        ({"creates": False}, "Login shop@x cannot create tables in schema public of database polls. Grant CREATE"),
    ],
)
def test_an_unsuitable_login_is_refused_before_the_first_secret(
    rds: FakeClient, found: dict[str, Any], words: str
) -> None:
    rds.answers = lambda script: Result(0, f"{json.dumps(ANSWER | found)}\n", "")
    with pytest.raises(ServerError) as raised:
        access.run(given_logins(), False, rds)
    assert str(raised.value).startswith(words)
    assert not [note for note in rds.notes if note.startswith("apply")]


@pytest.mark.parametrize(
    ("err", "words"),
    [
        (
            'FATAL:  password authentication failed for user "shop"',
            "rejects login shop: FATAL: password authentication failed for user shop. Correct its entry in "
            "database_logins or the server, then",
        ),
        ('FATAL:  database "polls" does not exist', "lacks the database: FATAL: database"),
        (
            'root certificate file "/etc/ssl/certs/ca-certificates.crt" does not exist\nEither provide the file',
            "cannot be checked: root certificate file",
        ),
        ("server does not support SSL, but SSL was required", "offers no TLS: server does not support SSL"),
    ],
)
def test_a_refused_login_is_reported(rds: FakeClient, err: str, words: str) -> None:
    start = 'psql: error: connection to server at "db.example.org" (10.0.0.1), port 5432 failed: '
    rds.answers = lambda script: Result(2, "", f"{start}{err}\n")
    with pytest.raises(ServerError) as raised:
        access.run(given_logins(), False, rds)
    assert words in str(raised.value).replace('"', "") or words in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_missing_passwords_of_logins_are_refused(rds: FakeClient) -> None:
    del rds.objects["Secret/rds-polls"]
    words = "Secret rds-polls in namespace polls does not exist, but login shop in database_logins needs its key app"
    with pytest.raises(ManifestError, match=words):
        access.run(given_logins(), True, rds)
    rds.apply(secret("rds-polls", ours=False, other="x"))
    with pytest.raises(ManifestError, match="has no key app, which login shop in database_logins needs"):
        access.run(given_logins(), False, rds)
    given = given_logins()
    given["roles"][0]["source"] = None
    with pytest.raises(ManifestError, match="Login shop has no password"):
        access.run(given, False, rds)
    given["roles"][0]["password"] = "hunter2 "
    with pytest.raises(ManifestError, match="The password of role shop ends in a blank"):
        access.run(given, False, rds)
    assert rds.scripts == []


def test_absent_keeps_the_database_of_given_logins(rds: FakeClient) -> None:
    access.run(given_logins(), False, rds)
    rds.scripts.clear()
    reported = access.run(given_logins(state="absent"), False, rds)
    assert reported["changes"] == ["remove Secret polls-database-app", "remove Secret polls-database-migrate"]
    assert rds.scripts == []
    assert "Secret/rds-polls" in rds.objects


def test_documentation_and_arguments_agree() -> None:
    assert_documented(postgresql_access)
