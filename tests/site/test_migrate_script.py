"""Script of the role migrations, run as in its Job, with a database that responds late."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "roles" / "migrations" / "files" / "migrate.py"
SETTINGS = {
    "DJANGO_PUBLIC_URL": "https://polls.example.org",
    "MIGRATIONS_COMMANDS": "[]",
    "MIGRATIONS_LOCK_TIMEOUT": "5000",
    "MIGRATIONS_STATEMENT_TIMEOUT": "0",
}


@contextmanager
def migrating(**variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run the script, with a timeout."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--verbosity=0", f"--command=exec(open({str(SCRIPT)!r}).read())"],
        cwd=PROJECT / "django_polls",
        env=os.environ | SETTINGS | variables,
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


def test_wait_for_a_database_that_responds_late(listener: socket.socket) -> None:
    with migrating(DATABASE_PORT=str(listener.getsockname()[1])) as process:
        for _ in range(3):
            assert process.stdout.readline().startswith("The database does not answer yet: ")
        lead_to_the_database(listener)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert "Applying polls.0001_initial" in output


def test_wait_for_an_unresponsive_database_times_out(listener: socket.socket) -> None:
    with migrating(DATABASE_PORT=str(listener.getsockname()[1])) as process:
        assert process.stdout.readline().startswith("The database does not answer yet: ")
        started = time.monotonic()
        _, error = process.communicate()
    assert "Connection refused" in error
    assert 14 < time.monotonic() - started < 30


def test_error_of_the_server_is_reported_at_once() -> None:
    started = time.monotonic()
    with migrating(DATABASE_NAME="none") as process:
        output, error = process.communicate()
    assert 'database "none" does not exist' in error
    assert "does not answer yet" not in output
    assert time.monotonic() - started < 15
