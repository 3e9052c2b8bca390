"""Migrate the database once, whoever else tries at the same time. Runs inside `manage.py shell` of any project."""

import json
import os
import time

from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.backends.signals import connection_created

# One per database; every run of every release asks for the same one.
LOCK = "SELECT {}(hashtextextended('cloud_django.kubernetes.migrations', 0))"

# Seconds. A Service leads to a server that has just started, or to its successor, only after a moment.
PATIENCE = 15


def connect(connection):
    """Connect, and go on trying for a while unless the server itself says why not."""
    last = time.monotonic() + PATIENCE
    while True:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            answered = "FATAL:" in str(error) and "the database system is" not in str(error)
            if answered or time.monotonic() > last:
                raise
            print(f"The database does not answer yet: {str(error).splitlines()[0]}", flush=True)
            time.sleep(0.5)
        else:
            return


def set_up(connection, **_):
    """Give a connection its limits and the role that owns the tables."""
    with connection.cursor() as cursor:
        for setting in ("lock_timeout", "statement_timeout"):
            cursor.execute("SELECT set_config(%s, %s, false)", [setting, os.environ[f"MIGRATIONS_{setting.upper()}"]])
        if role := os.environ.get("DATABASE_ROLE"):
            cursor.execute("SELECT set_config('role', %s, false)", [role])


def migrate():
    """Hold the lock on a connection of its own, which no timeout ends, and migrate on Django's."""
    keeper = connections.create_connection("default")
    connect(keeper)
    with keeper.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0")
        cursor.execute(LOCK.format("pg_try_advisory_lock"))
        if not cursor.fetchone()[0]:
            print("Another run is migrating this database: waiting until it is done.", flush=True)
            cursor.execute(LOCK.format("pg_advisory_lock"))
        connection_created.connect(set_up)
        call_command("migrate", plan=True)
        call_command("migrate", interactive=False)
        for command in json.loads(os.environ["MIGRATIONS_COMMANDS"]):
            call_command(*command)
    keeper.close()


migrate()
