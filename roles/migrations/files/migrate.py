"""Migrate the database in one process at a time. It runs in `manage.py shell` of any project."""

import json
import os
import time

from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.backends.signals import connection_created

# The lock of the database. All runs of all releases use the same key.
LOCK = "SELECT {}(hashtextextended('cloud_django.kubernetes.migrations', 0))"

# Seconds to repeat a failed connection, because a Service needs a moment to route to a new server.
CONNECT_TIMEOUT = 15


def connect(connection):
    """Connect, and repeat for CONNECT_TIMEOUT seconds unless the server rejects the connection."""
    last = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            rejected = "FATAL:" in str(error) and "the database system is" not in str(error)
            if rejected or time.monotonic() > last:
                raise
            print(f"The database does not answer yet: {str(error).splitlines()[0]}", flush=True)
            time.sleep(0.5)
        else:
            return


def set_up(connection, **_):
    """Set the timeouts and the owner role of a connection."""
    with connection.cursor() as cursor:
        for setting in ("lock_timeout", "statement_timeout"):
            cursor.execute("SELECT set_config(%s, %s, false)", [setting, os.environ[f"MIGRATIONS_{setting.upper()}"]])
        if role := os.environ.get("DATABASE_ROLE"):
            cursor.execute("SELECT set_config('role', %s, false)", [role])


def migrate():
    """Migrate while a separate connection without timeouts holds the lock."""
    holder = connections.create_connection("default")
    connect(holder)
    with holder.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0")
        cursor.execute(LOCK.format("pg_try_advisory_lock"))
        if not cursor.fetchone()[0]:
            print("Another run is migrating this database. Waiting until it is done.", flush=True)
            cursor.execute(LOCK.format("pg_advisory_lock"))
        connection_created.connect(set_up)
        call_command("migrate", plan=True)
        call_command("migrate", interactive=False)
        for command in json.loads(os.environ["MIGRATIONS_COMMANDS"]):
            call_command(*command)
    holder.close()


migrate()
