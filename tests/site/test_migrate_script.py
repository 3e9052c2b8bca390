"""Script of the role migrations, run as in its Job."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support_release import MANAGE, MIGRATIONS, POLLS, POLLS_SETTINGS, SCRIPTS, Launched, rows, temporary_schema


@pytest.fixture
def schema() -> Iterator[str]:
    with temporary_schema() as name:
        yield name


@contextmanager
def migrating(directory: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run the script, with a timeout."""
    script = Launched(directory, SCRIPTS["migrate"], **MIGRATIONS)
    with subprocess.Popen(
        script.command(MANAGE),
        cwd=POLLS,
        env=os.environ | POLLS_SETTINGS | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def migrate(
    directory: Path, schema: str, options: dict[str, Any], **variables: str
) -> tuple[Launched, subprocess.CompletedProcess[str]]:
    """Run the script in a schema of its own."""
    script = Launched(directory, SCRIPTS["migrate"], **MIGRATIONS | options)
    return script, script.run(MANAGE, POLLS, **POLLS_SETTINGS, DATABASE_SCHEMA=schema, **variables)


def python(code: str) -> list[str]:
    """Return a management command that runs code in the process of the migrations."""
    return ["shell", "--verbosity", "0", "--command", code]


def copy(source: socket.socket, target: socket.socket) -> None:
    """Forward data from one connection until it closes."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return a port that refuses connections until a test listens on it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def lead_to_the_database(listener: socket.socket) -> None:
    """Forward connections to the database."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", int(os.environ["DATABASE_PORT"])))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=ends, daemon=True).start()

    listener.listen()
    threading.Thread(target=serve, daemon=True).start()


def test_wait_for_a_database_that_responds_late(listener: socket.socket, schema: str, tmp_path: Path) -> None:
    port = str(listener.getsockname()[1])
    with migrating(tmp_path, DATABASE_PORT=port, DATABASE_SCHEMA=schema) as process:
        for _ in range(3):
            assert process.stdout.readline().startswith("The database does not answer yet: ")
        lead_to_the_database(listener)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert "Applying polls.0001_initial" in output


def test_wait_for_an_unresponsive_database_times_out(listener: socket.socket, tmp_path: Path) -> None:
    with migrating(tmp_path, DATABASE_PORT=str(listener.getsockname()[1])) as process:
        assert process.stdout.readline().startswith("The database does not answer yet: ")
        started = time.monotonic()
        _, error = process.communicate()
    assert "Connection refused" in error
    assert 14 < time.monotonic() - started < 30


def test_error_of_the_server_is_reported_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with migrating(tmp_path, DATABASE_NAME="none") as process:
        output, error = process.communicate()
    assert 'database "none" does not exist' in error
    assert "does not answer yet" not in output
    assert time.monotonic() - started < 15


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_commands_run_before_and_after_the_migrations(schema: str, tmp_path: Path) -> None:
    options = {
        "before": [["manage", "check"], ["sh", "-c", "echo before"]],
        "commands": [["load_demo_polls"], ["manage", "load_demo_polls"], python("import sys; sys.exit()"), ["echo", 5]],
    }
    _, done = migrate(tmp_path, schema, options)
    assert done.returncode == 0, done.stderr
    order = ["before\n", "Planned operations:", "Applying polls.0001_initial", "created: Is Django", "\n5\n"]
    places = [done.stdout.index(text) for text in order]
    assert places == sorted(places)
    assert rows(schema, "SELECT count(*) FROM polls_question") == [(2,)]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["manage", "nosuch"], "The command ended with CommandError: Unknown command: 'nosuch'. Read"),
        (
            ["nosuch"],
            "migrations_before has nosuch, which is no management command and no program of the image. Correct",
        ),
        (["sh", "-c", "exit 3"], "The command sh -c exit 3 of migrations_before exited with 3. Read"),
        (python("raise SystemExit(4)"), "The command shell of migrations_before exited with 4. Read"),
    ],
)
def test_nothing_is_migrated_after_a_command_that_fails(
    schema: str, tmp_path: Path, command: list[str], sentence: str
) -> None:
    script, done = migrate(tmp_path, schema, {"before": [command]})
    assert done.returncode == 1
    assert script.sentence().startswith(sentence)
    assert rows(schema, f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'") == [(0,)]


def test_a_command_of_the_project_replaces_the_migrations(schema: str, tmp_path: Path) -> None:
    """It runs under the lock, which another session cannot get, and has the timeouts."""
    code = (
        "from django.db import connection as c; cursor = c.cursor(); "
        "cursor.execute(\"SELECT pg_try_advisory_lock(hashtextextended('cloud_django.kubernetes.migrations', 0))\"); "
        "print('lock', cursor.fetchone())"
    )
    options = {
        "command": ["sh", "-c", "python manage.py migrate contenttypes && echo $PGOPTIONS"],
        "commands": [["manage", "migrate", "--check", "contenttypes"], ["python", "manage.py", "shell", "-c", code]],
    }
    _, done = migrate(tmp_path, schema, options | {"statement_timeout": 70000}, PGOPTIONS="-c geqo=off")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Applying contenttypes.0001_initial" in done.stdout
    assert "polls" not in done.stdout
    assert "-c geqo=off -c lock_timeout=5000 -c statement_timeout=70000\n" in done.stdout
    assert "lock (False,)" in done.stdout


def test_manage_in_the_command_of_the_project(schema: str, tmp_path: Path) -> None:
    _, done = migrate(tmp_path, schema, {"command": ["manage", "migrate", "contenttypes", "--verbosity=0"]})
    assert done.returncode == 0, done.stderr
    assert rows(schema, "SELECT DISTINCT app FROM django_migrations") == [("contenttypes",)]


def test_two_runs_wait_for_each_other(schema: str, tmp_path: Path) -> None:
    """The second one waits longer than the lock timeout."""
    variables = {"DATABASE_SCHEMA": schema}
    options = MIGRATIONS | {"lock_timeout": 100, "before": [["sh", "-c", "sleep 1"]]}
    scripts = [Launched(tmp_path / str(number), SCRIPTS["migrate"], **options) for number in (1, 2)]
    environment = os.environ | POLLS_SETTINGS | variables
    running = [
        subprocess.Popen(script.command(MANAGE), cwd=POLLS, env=environment, stdout=subprocess.PIPE, text=True)
        for script in scripts
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum("Applying polls.0001_initial" in output for output in outputs) == 1
    assert sum("Another run is migrating this database" in output for output in outputs) == 1


def test_timeouts_and_role_of_the_connection(schema: str, tmp_path: Path) -> None:
    code = "from django.db import connection as c; cursor = c.cursor(); "
    code += "cursor.execute(\"SELECT current_setting('lock_timeout'), "
    code += "current_setting('statement_timeout'), current_user\"); "
    code += "print(cursor.fetchone())"
    options = {"before": [python(code)], "command": ["true"], "statement_timeout": 70000}
    rows(schema, f"GRANT ALL ON SCHEMA {schema} TO pg_monitor")
    _, done = migrate(tmp_path, schema, options, DATABASE_ROLE="pg_monitor")
    assert "('5s', '70s', 'pg_monitor')" in done.stdout, done.stderr


# --- Errors -----------------------------------------------------------------------------------------------------------

ERRORS = {
    "CREATE EXTENSION nosuch": "needs the extension nosuch, which the PostgreSQL server does not have",
    "SET ROLE pg_monitor; CREATE EXTENSION file_fdw SCHEMA pg_catalog": "creates the extension file_fdw, but only",
    "CREATE TABLE u (a citext)": 'needs the extension citext: type "citext" does not exist',
    "CREATE TABLE u (a public.hstore)": "needs the extension hstore: ",
    "CREATE TABLE u (a geometry(Point, 4326))": "needs the extension postgis: ",
    "CREATE INDEX ON t USING gin (b gin_trgm_ops)": "needs the extension pg_trgm: ",
    "CREATE INDEX ON t USING gin (a)": "needs the extension btree_gin: ",
    "CREATE INDEX ON t USING gist (a)": "needs the extension btree_gist: ",
    "SELECT unaccent('a')": "needs the extension unaccent: function unaccent(unknown) does not exist",
    "SELECT ts_lexize('unaccent', 'a')": "needs the extension unaccent: ",
    "SELECT uuid_generate_v4()": "needs the extension uuid-ossp: ",
    "SET ROLE pg_monitor; CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION f()": (
        'needs more privileges than the owner of the database has: permission denied to create event trigger "x". '
    ),
    "SET statement_timeout = 10; SELECT pg_sleep(1)": "took longer than the statement timeout of 0 ms",
    "SELECT 1 / 0": "",
    "CREATE TABLE u (a nosuch)": "",
    "SELECT nosuch(1)": "",
}
# Prints the explanation of each error. A transaction for each statement resets the role too.
EXPLAIN = """\
import json, pathlib, runpy
from django.db import DatabaseError, connection, transaction
path = pathlib.Path(__file__).with_name("options.json")
options = json.loads(path.read_text())
explained = runpy.run_path(options["migrate"], run_name="migrate")["explained"]
found = []
for statement in options["statements"]:
    connection.close()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        found.append(str(explained(str(error)) or ""))
print(json.dumps(found))
"""


def test_errors_of_the_server_name_the_next_step(schema: str, tmp_path: Path) -> None:
    rows(schema, "CREATE TABLE t (a integer, b text)")
    (tmp_path / "probe.py").write_text(EXPLAIN)
    own = Launched(tmp_path / "own", SCRIPTS["migrate"], **MIGRATIONS)
    script = Launched(tmp_path / "launcher", tmp_path / "probe.py", migrate=str(own.script), statements=list(ERRORS))
    done = script.run(MANAGE, POLLS, **POLLS_SETTINGS, DATABASE_SCHEMA=schema)
    assert done.returncode == 0, done.stderr
    found = dict(zip(ERRORS, json.loads(done.stdout.splitlines()[-1]), strict=True))
    for statement, words in ERRORS.items():
        assert (words in found[statement]) if words else not found[statement], statement
        if "extension" in words:
            assert "to database_extensions." in found[statement]


@pytest.mark.parametrize("is_program", [False, True])
def test_a_migration_that_needs_an_extension(schema: str, tmp_path: Path, is_program: bool) -> None:
    code = "from django.db import connection; connection.cursor().execute('CREATE TABLE u (a ltree)')"
    command = ["python", "manage.py", "shell", "-c", code] if is_program else python(code)
    script, done = migrate(tmp_path, schema, {"command": command} if is_program else {"before": [command]})
    assert done.returncode == 1
    expected = 'A migration needs the extension ltree: type "ltree" does not exist. Add ltree to database_extensions.'
    assert script.sentence() == expected
    assert done.stderr.rstrip().endswith(expected)
    assert "Traceback" in done.stdout + done.stderr


def test_a_project_without_postgresql(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("SECRET_KEY = 'x'\nINSTALLED_APPS = []\n")
    script = Launched(tmp_path / "launcher", SCRIPTS["migrate"], **MIGRATIONS)
    done = script.run(["python", "-m", "django"], tmp_path, DJANGO_SETTINGS_MODULE="settings")
    assert done.returncode == 1
    engine = "django.db.backends.dummy"
    assert script.sentence().startswith(f"The default database of the project is {engine}, not PostgreSQL. Give ")


# --- Table of the role superuser --------------------------------------------------------------------------------------

EARLIER = """
CREATE TABLE superuser_appliedsecret (user_id integer PRIMARY KEY REFERENCES auth_user (id)
  DEFERRABLE INITIALLY DEFERRED, digest varchar(256) NOT NULL, seen_at timestamptz NOT NULL);
INSERT INTO auth_user
  (id, username, password, is_superuser, is_staff, is_active, first_name, last_name, email, date_joined)
  VALUES (7, 'admin', 'x', true, true, true, '', '', '', now());
INSERT INTO superuser_appliedsecret VALUES (7, 'first', '2026-01-01Z');
"""


def test_hashes_of_earlier_versions_are_taken_over(schema: str, tmp_path: Path) -> None:
    """Also those that a rollback has written, and none that is older."""
    assert migrate(tmp_path, schema, {})[1].returncode == 0
    assert rows(schema, "SELECT count(*) FROM cloud_django_superuser") == [(0,)]
    rows(schema, EARLIER)
    for statement, digest in (
        ("", "first"),
        ("UPDATE superuser_appliedsecret SET digest = 'second', seen_at = '2026-01-02Z'", "second"),
        ("UPDATE cloud_django_superuser SET digest = 'third', applied_at = '2026-01-03Z'", "third"),
    ):
        if statement:
            rows(schema, statement)
        assert migrate(tmp_path, schema, {})[1].returncode == 0
        assert rows(schema, "SELECT user_id, digest FROM cloud_django_superuser") == [("7", digest)]
    # Django no longer deletes the row of the earlier app first.
    rows(schema, "DELETE FROM auth_user")
    assert rows(schema, "SELECT digest FROM superuser_appliedsecret") == [("second",)]


def test_a_project_without_users_has_no_table(schema: str, tmp_path: Path) -> None:
    connection = {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["DATABASE_HOST"]}
    connection |= {"PORT": os.environ["DATABASE_PORT"], "NAME": os.environ["DATABASE_NAME"]}
    connection |= {"USER": os.environ["DATABASE_USER"], "OPTIONS": {"options": f"-c search_path={schema}"}}
    connection["PASSWORD"] = Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text()
    (tmp_path / "settings.py").write_text(f"SECRET_KEY = 'x'\nDATABASES = {{'default': {connection!r}}}\n")
    script = Launched(tmp_path / "launcher", SCRIPTS["migrate"], **MIGRATIONS)
    done = script.run(["python", "-m", "django"], tmp_path, DJANGO_SETTINGS_MODULE="settings")
    assert done.returncode == 0, done.stderr
    assert rows(schema, "SELECT to_regclass('cloud_django_superuser')") == [(None,)]
