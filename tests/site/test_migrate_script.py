"""The script of the role migrations, run as its Job runs it, on a database that is slow to answer."""

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

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "roles" / "migrations" / "files" / "migrate.py"
SETTINGS = {
    "DJANGO_PUBLIC_URL": "https://polls.example.org",
    "MIGRATIONS_COMMANDS": "[]",
    "MIGRATIONS_LOCK_TIMEOUT": "5000",
    "MIGRATIONS_STATEMENT_TIMEOUT": "0",
}


def migrate(**variables: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Return how the script ended, and after how many seconds."""
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", f"--command=exec(open({str(SCRIPT)!r}).read())"],
        cwd=PROJECT / "django_polls",
        env=os.environ | SETTINGS | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended, time.monotonic() - started


def copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what one end says until it has no more to say."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def way_to_the_database(after: float) -> Iterator[int]:
    """Yield a port that refuses everybody for some seconds, and leads to the database from then on."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    ended = threading.Event()

    def serve() -> None:
        if ended.wait(after):
            return
        listener.listen()
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", int(os.environ["DATABASE_PORT"])))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=copy, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    ended.set()


def test_a_database_that_does_not_answer_yet_is_waited_for() -> None:
    with way_to_the_database(after=4) as port:
        ended, _ = migrate(DATABASE_PORT=str(port))
    assert ended.returncode == 0, ended.stderr
    assert "The database does not answer yet: " in ended.stdout
    assert "Applying polls.0001_initial" in ended.stdout


def test_a_database_that_never_answers_is_not_waited_for_long() -> None:
    with way_to_the_database(after=600) as port:
        ended, seconds = migrate(DATABASE_PORT=str(port))
    assert "Connection refused" in ended.stderr
    assert 15 < seconds < 30


def test_what_the_server_itself_refuses_is_told_at_once() -> None:
    ended, seconds = migrate(DATABASE_NAME="none")
    assert 'database "none" does not exist' in ended.stderr
    assert "does not answer yet" not in ended.stdout
    assert seconds < 15
