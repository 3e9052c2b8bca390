"""Migrate the database in one process at a time. The launcher runs it inside of the project's management command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

from cloud_django_launch import Refusal, connect
from django.apps import apps
from django.core.management import call_command, get_commands
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.backends.signals import connection_created

OPTIONS = json.loads(Path(__file__).with_name("options.json").read_text(encoding="utf-8"))

# The lock of the database. All runs of all releases use the same key.
LOCK = "SELECT {}(hashtextextended('cloud_django.kubernetes.migrations', 0))"
# Each server has only some of them.
TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")

# Table of the role superuser, whose login cannot create tables. It holds a hash of the password in the Secret.
TABLE = "cloud_django_superuser"
COLUMNS = "user_id text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()"
# Table of an app of earlier versions, with the same content.
EARLIER = "superuser_appliedsecret"

# Lines of a program's output in which the cause of an error is looked for.
LINES = 200


# ---- Errors ----------------------------------------------------------------------------------------------------------

TYPES = {"citext": "citext", "hstore": "hstore", "ltree": "ltree", "lquery": "ltree", "cube": "cube", "isn": "isn"}
TYPES |= {"geometry": "postgis", "geography": "postgis", "raster": "postgis_raster", "vector": "vector"}
FUNCTIONS = {"unaccent": "unaccent", "similarity": "pg_trgm", "word_similarity": "pg_trgm", "crypt": "pgcrypto"}
FUNCTIONS |= {"digest": "pgcrypto", "gen_salt": "pgcrypto", "uuid_generate_v4": "uuid-ossp", "earth": "earthdistance"}

# Messages of PostgreSQL if a migration needs an extension, with the name of the extension or of what it provides.
FORBIDDEN = re.compile(r'permission denied to create extension "([^"]+)"')
UNAVAILABLE = re.compile(r'extension "([^"]+)" is not available')
MISSING = (
    (re.compile(r'type "(?:\w+\.)?(\w+)" does not exist'), TYPES),
    (re.compile(r"function (?:\w+\.)?(\w+)\(.*\) does not exist"), FUNCTIONS),
    (re.compile(r'text search dictionary "(unaccent)" does not exist'), {"unaccent": "unaccent"}),
    (re.compile(r'operator class "(gin|gist)_trgm_ops" does not exist'), {"gin": "pg_trgm", "gist": "pg_trgm"}),
    (
        re.compile(r'data type .* has no default operator class for access method "(gin|gist)"'),
        {"gin": "btree_gin", "gist": "btree_gist"},
    ),
)
PRIVILEGES = re.compile(
    r"(permission denied (?:to|for) [^\n]+|must be (?:superuser|owner)[^\n]*|only superuser[^\n]*)", re.I
)
TIMEOUT = re.compile(r"canceling statement due to (lock|statement) timeout")


def explained(text: str) -> Refusal | None:
    """Return what an error of the server means for the inventory; None for other errors."""
    if found := FORBIDDEN.search(text):
        reason = f"A migration creates the extension {found[1]}, but only a superuser of PostgreSQL may create it"
        return Refusal(reason, f"Add {found[1]} to database_extensions")
    if found := UNAVAILABLE.search(text):
        step = f"Use a server whose installation includes it, and add {found[1]} to database_extensions"
        return Refusal(f"A migration needs the extension {found[1]}, which the PostgreSQL server does not have", step)
    for pattern, extensions in MISSING:
        found = pattern.search(text)
        if found and (name := extensions.get(found[1])):
            reason = f"A migration needs the extension {name}: {found[0]}"
            return Refusal(reason, f"Add {name} to database_extensions")
    if found := TIMEOUT.search(text):
        milliseconds = OPTIONS[f"{found[1]}_timeout"]
        reason = f"A migration took longer than the {found[1]} timeout of {milliseconds} ms"
        return Refusal(reason, f"Rerun it at a quieter time, or raise migrations_{found[1]}_timeout")
    if found := PRIVILEGES.search(text):
        reason = f"A migration needs more privileges than the owner of the database has: {found[0].rstrip('.')}"
        return Refusal(reason, "Let an administrator of PostgreSQL create what it needs, or change the migration")
    return None


# ---- Commands --------------------------------------------------------------------------------------------------------


def run(variable: str, command: list[Any]) -> None:
    """Run a command of a variable: a management command in this process, or another program."""
    name, *arguments = (str(word) for word in command)
    is_manage = name == "manage"
    if is_manage:
        name, *arguments = arguments
    if is_manage or name in get_commands():
        manage(variable, name, arguments)
    else:
        execute(variable, [name, *arguments])


def manage(variable: str, name: str, arguments: list[str]) -> None:
    """Run a management command. It uses the connection of this process, with its timeouts and its role."""
    try:
        call_command(name, *arguments)
    except SystemExit as end:
        if end.code not in (None, 0):
            reason = f"The command {name} of {variable} exited with {end.code}"
            raise Refusal(reason, "Read its log and fix the cause") from end


def execute(variable: str, command: list[str]) -> None:
    """Run a program, and print its output at once. The lock is held meanwhile."""
    if shutil.which(command[0]) is None:
        reason = f"{variable} has {command[0]}, which is no management command and no program of the image"
        raise Refusal(reason, f"Correct {variable}")
    # For connections whose settings have no options of their own.
    timeouts = [f"-c {name}={OPTIONS[name]}" for name in TIMEOUTS if OPTIONS.get(name)]
    options = " ".join(filter(None, [os.environ.get("PGOPTIONS"), *timeouts]))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **({"PGOPTIONS": options} if options else {})}
    last: deque[str] = deque(maxlen=LINES)
    sys.stdout.flush()
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                last.append(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        reason = f"The command {' '.join(command[:3])} of {variable} exited with {process.returncode}"
        raise explained("".join(last)) or Refusal(reason, "Read its log and fix the cause")


# ---- Database --------------------------------------------------------------------------------------------------------


def set_up(connection: Any, **_: Any) -> None:
    """Set the timeouts and the owner role of a connection to the database of the site."""
    if connection.alias != DEFAULT_DB_ALIAS:
        return
    with connection.cursor() as cursor:
        for name in ("lock_timeout", "statement_timeout"):
            cursor.execute("SELECT set_config(%s, %s, false)", [name, str(OPTIONS[name])])
        # Without the contract, the database sets the role at each login.
        if role := os.environ.get("DATABASE_ROLE"):
            cursor.execute("SELECT set_config('role', %s, false)", [role])


def create_table() -> None:
    """Create the table of the role superuser, and take over the hashes of earlier versions."""
    if not apps.is_installed("django.contrib.auth"):
        return
    connection = connections[DEFAULT_DB_ALIAS]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [TABLE])
        if cursor.fetchone()[0] is None:
            cursor.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
        cursor.execute(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(%s)"
            " AND attname IN ('user_id', 'digest', 'seen_at') AND NOT attisdropped",
            [EARLIER],
        )
        if cursor.fetchone()[0] == 3:
            # The table stays for a rollback, which may also have changed a hash.
            cursor.execute(
                f"INSERT INTO {TABLE} AS kept SELECT user_id::text, digest, seen_at FROM {EARLIER}"
                " ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, applied_at = excluded.applied_at"
                " WHERE kept.applied_at < excluded.applied_at"
            )
            # Without the app, Django would not delete its row together with a user, and the server would refuse that.
            cursor.execute(
                "SELECT quote_ident(conname) FROM pg_constraint WHERE contype = 'f' AND conrelid = to_regclass(%s)",
                [EARLIER],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {EARLIER} DROP CONSTRAINT {name}")


def release() -> None:
    """Run the commands of a release."""
    for command in OPTIONS["before"]:
        run("migrations_before", command)
    if command := OPTIONS["command"]:
        full = [*OPTIONS["manage"], *command[1:]] if command[0] == "manage" else command
        execute("migrations_command", [str(word) for word in full])
    else:
        call_command("migrate", plan=True)
        call_command("migrate", interactive=False)
    create_table()
    for command in OPTIONS["commands"]:
        run("migrations_commands", command)


def main() -> None:
    """Run the release while a separate connection without timeouts holds the lock."""
    if (default := connections[DEFAULT_DB_ALIAS]).vendor != "postgresql":
        engine = default.settings_dict.get("ENGINE") or "none"
        step = "Give the project the values of the database by django_environment or django_local_settings"
        raise Refusal(f"The default database of the project is {engine}, not PostgreSQL", step)
    holder = connections.create_connection(DEFAULT_DB_ALIAS)
    connect(holder)
    with holder.cursor() as cursor:
        cursor.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", [list(TIMEOUTS)])
        cursor.execute(LOCK.format("pg_try_advisory_lock"))
        if not cursor.fetchone()[0]:
            print("Another run is migrating this database. Waiting until it is done.", flush=True)
            cursor.execute(LOCK.format("pg_advisory_lock"))
        connection_created.connect(set_up)
        try:
            release()
        except DatabaseError as error:
            if refusal := explained(str(error)):
                raise refusal from error
            raise
        # A pool would keep the connection, and the lock with it.
        cursor.execute(LOCK.format("pg_advisory_unlock"))
    holder.close()


if __name__ == "__main__":
    main()
