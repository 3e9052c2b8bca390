"""Scripts of the roles migrations and superuser, run by the launcher as in their Jobs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

PROJECT = Path(__file__).resolve().parents[2]
LAUNCHER = PROJECT / "roles" / "django" / "files" / "launch.py"
SCRIPTS = {
    name: PROJECT / "roles" / role / "files" / f"{name}.py"
    for name, role in {"migrate": "migrations", "superuser": "superuser"}.items()
}
POLLS = PROJECT / "django_polls"
POLLS_SETTINGS = {"DJANGO_PUBLIC_URL": "https://polls.example.org", "DJANGO_SETTINGS_MODULE": "config.settings"}
MANAGE = ["python", "manage.py"]
MIGRATIONS = {
    "manage": MANAGE,
    "before": [],
    "command": [],
    "commands": [],
    "lock_timeout": 5000,
    "statement_timeout": 0,
}


def rows(schema: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query in a schema of the tests' database; none for another statement."""
    names = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "sslmode": "SSLMODE"}
    names |= {"sslrootcert": "SSLROOTCERT"}
    values = {name: os.environ[f"DATABASE_{variable}"] for name, variable in names.items()}
    password = Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text()
    server = psycopg2.connect(**values, password=password, options=f"-c search_path={schema}")
    try:
        with server, server.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        server.close()


@contextmanager
def temporary_schema() -> Iterator[str]:
    """Create a schema of its own."""
    name = f"test_{uuid.uuid4().hex}"
    rows("public", f"CREATE SCHEMA {name}")
    try:
        yield name
    finally:
        rows("public", f"DROP SCHEMA {name} CASCADE")


class Launched:
    """A script in the directory of its Job."""

    def __init__(self, directory: Path, script: Path, /, **options: Any) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.log = directory / "termination-log"
        shutil.copy(script, directory)
        launcher = LAUNCHER.read_text(encoding="utf-8")
        assert launcher.count("/dev/termination-log") == 1
        (directory / LAUNCHER.name).write_text(
            launcher.replace("/dev/termination-log", str(self.log)), encoding="utf-8"
        )
        self.script = directory / script.name
        (directory / "options.json").write_text(json.dumps(options))

    def command(self, manage: list[str], python: str = sys.executable) -> list[str]:
        self.log.write_text("")
        return [python, str(self.directory / LAUNCHER.name), str(self.script), "--", *manage]

    def run(
        self, manage: list[str], place: Path, python: str = sys.executable, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the script inside of a management command."""
        command = self.command(manage, python)
        return subprocess.run(
            command, cwd=place, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False
        )

    def sentence(self) -> str:
        """Return what the run reports about the last failure."""
        entry = json.loads(self.log.read_text())
        assert entry["level"] == "error"
        assert "\n" not in entry["msg"] + entry["advice"]
        return f"{entry['msg']}. {entry['advice']}."
