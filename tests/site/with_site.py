#!/usr/bin/env python3
"""Run a command with a temporary PostgreSQL server, and optionally with the running site.

    tests/site/with_site.py --chdir django_polls python -m pytest
    tests/site/with_site.py --serve python -m pytest tests/browser

The command finds the database in the variables of the site's settings, and the site in BASE_URL. `python` is that of
the site's environment, .venv/site, which the playbook prepare.yml creates.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv" / "site"
POSTGRESQL_IMAGE = os.environ.get("TEST_POSTGRESQL_IMAGE", "localhost/cloud-django/postgresql:17")
BASE_IMAGE = os.environ.get("TEST_BASE_IMAGE", "localhost/cloud-django/python:3.13")
BUILD_SECRETS = {"pip_conf": "/etc/pip.conf", "ca_certificates": "/etc/ssl/certs/ca-certificates.crt"}
TIMEOUT_SECONDS = 60

# The login role owns the server, because the tests create a database. The data is temporary, so it need not be on a
# disk.
START_POSTGRESQL = """
initdb --pgdata=/tmp/data --username=site --pwfile=/run/secrets/database-password --encoding=UTF8 \
       --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 --auth=scram-sha-256 > /dev/null
echo 'hostssl all all all scram-sha-256' >> /tmp/data/pg_hba.conf
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout /tmp/data/server.key -out /tmp/data/server.crt 2> /dev/null
exec postgres -D /tmp/data -k /tmp -c listen_addresses='*' -c ssl=on -c fsync=off -c max_connections=200
"""


class Stopped(Exception):
    """A requirement of the tests is missing; the message is for the user."""


def docker(*arguments: str) -> str:
    """Run Docker and return its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Stopped(f"docker {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def require_image(name: str) -> None:
    """Fail if an image is missing that no registry has."""
    inspect = ["docker", "image", "inspect", name]
    if name.startswith("localhost/") and subprocess.run(inspect, capture_output=True, check=False).returncode:
        raise Stopped(f"Image {name} is not in the container engine. Run `python tests/run.py site` to build it.")


def log_of(container: str) -> str:
    """Return the last lines of a container's log."""
    done = subprocess.run(["docker", "logs", "--tail=40", container], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@contextlib.contextmanager
def container(*arguments: str) -> Iterator[str]:
    """Run a container in the background and yield its ID, then remove it with its volumes."""
    identifier = docker("run", "--detach", *arguments)
    try:
        yield identifier
    finally:
        docker("container", "rm", "--force", "--volumes", identifier)


def wait(identifier: str, name: str, is_ready: Callable[[], bool]) -> None:
    """Wait until a container is ready. Print its log if it exits early or takes too long."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_ready():
        running = docker("container", "inspect", "--format={{ .State.Running }}", identifier) == "true"
        if not running or time.monotonic() > deadline:
            raise Stopped(f"{name} did not start. Its log ends with:\n{log_of(identifier)}")
        time.sleep(0.2)


def port(identifier: str, inside: int) -> str:
    """Return the port of this machine that leads to a port of a container."""
    return docker("container", "port", identifier, f"{inside}/tcp").splitlines()[0].rpartition(":")[2]


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run PostgreSQL; its certificate is written to the directory of secrets.

    The container also publishes the port of the site, which later shares its network. Both are `localhost` for each
    other, which is the name in the certificate.
    """
    with container(
        *("--publish=127.0.0.1::5432", "--publish=127.0.0.1::8000", f"--volume={folder}:/run/secrets:ro"),
        *(POSTGRESQL_IMAGE, "sh", "-euc", START_POSTGRESQL),
    ) as identifier:
        answers = ["docker", "exec", identifier, "pg_isready", "--quiet", "--host=127.0.0.1"]
        wait(
            identifier, "PostgreSQL", lambda: subprocess.run(answers, capture_output=True, check=False).returncode == 0
        )
        certificate = docker("exec", identifier, "cat", "/tmp/data/server.crt")
        (folder / "ca.crt").write_text(certificate + "\n")
        yield identifier


@contextlib.contextmanager
def image() -> Iterator[str]:
    """Build the site's image and yield its ID."""
    given = [f"--secret=id={name},src={path}" for name, path in BUILD_SECRETS.items() if Path(path).exists()]
    identifier = docker(
        *("buildx", "build", "--quiet", "--provenance=false", "--load", f"--build-arg=BASE_IMAGE={BASE_IMAGE}"),
        *(*given, str(PROJECT)),
    )
    try:
        yield identifier
    finally:
        docker("image", "rm", "--no-prune", identifier)


@contextlib.contextmanager
def website(folder: Path, database: str, variables: dict[str, str]) -> Iterator[str]:
    """Serve the site from its image, confined like in a pod, and yield its URL."""
    address = f"http://127.0.0.1:{port(database, 8000)}"
    inside = variables | {
        "DATABASE_PORT": "5432",
        "DATABASE_PASSWORD_FILE": "/run/secrets/database-password",
        "DATABASE_SSLROOTCERT": "/run/secrets/ca.crt",
        "DJANGO_SECRET_KEY_FILE": "/run/secrets/secret-key",
        "DJANGO_PUBLIC_URL": address,
        # There is no front, so the project must listen on all addresses of the container.
        "WEB_BIND": "0.0.0.0:8000",
    }
    confined = [
        *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--network=container:{database}"),
        *(f"--volume={folder}:/run/secrets:ro", *(f"--env={name}={value}" for name, value in inside.items())),
    ]
    write_scripts(folder / "launcher")
    with image() as built:
        for script in ("migrate", "superuser"):
            launcher = ["/run/secrets/launcher/launch.py", f"/run/secrets/launcher/{script}.py"]
            docker("run", "--rm", *confined, built, "python", *launcher, "--", "python", "manage.py")
        with container(*confined, built) as identifier:
            wait(identifier, "The site", lambda: is_served(f"{address}/readyz"))
            yield address


def is_served(address: str) -> bool:
    """Return whether a page exists."""
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def write_scripts(folder: Path) -> None:
    """Write the scripts of the roles, which migrate the database, and create questions and the superuser."""
    folder.mkdir()
    folder.chmod(0o755)
    for script in ("django/files/launch.py", "migrations/files/migrate.py", "superuser/files/superuser.py"):
        shutil.copy(PROJECT / "roles" / script, folder)
    options = {
        "before": [],
        "command": [],
        "commands": [["load_demo_polls"]],
        "lock_timeout": 0,
        "statement_timeout": 0,
    }
    options |= {"manage": [], "directory": "/run/secrets/admin", "fields": {}, "generated": True}
    (folder / "options.json").write_text(json.dumps(options))
    for path in folder.iterdir():
        path.chmod(0o644)


def write_secrets(folder: Path) -> None:
    """Generate all secrets. Users of the containers must be able to read them, so the parent directory is closed."""
    (folder / "admin").mkdir()
    (folder / "admin").chmod(0o755)
    for name, value in {
        "database-password": secrets.token_urlsafe(24),
        "secret-key": secrets.token_urlsafe(50),
        "admin/username": "admin",
        "admin/password": secrets.token_urlsafe(24),
    }.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o644)
    folder.chmod(0o755)


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="also run the site, from its image")
    parser.add_argument("--chdir", default=".", help="directory to run the command in, relative to the project")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not VENV.is_dir():
        raise Stopped(f"{VENV} is missing. Run `python tests/run.py site` to create it.")
    require_image(POSTGRESQL_IMAGE)
    if options.serve:
        require_image(BASE_IMAGE)

    # Raise an exception for each signal, so that `finally` runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="site-"))) / "secrets"
        folder.mkdir()
        write_secrets(folder)
        database = stack.enter_context(postgresql(folder))
        variables = {
            "DATABASE_HOST": "localhost",
            "DATABASE_NAME": "postgres",
            "DATABASE_USER": "site",
            "DATABASE_SSLMODE": "verify-full",
        }
        environment = (
            os.environ
            | variables
            | {
                "DATABASE_PORT": port(database, 5432),
                "DATABASE_PASSWORD_FILE": str(folder / "database-password"),
                "DATABASE_SSLROOTCERT": str(folder / "ca.crt"),
                "DJANGO_SECRET_KEY_FILE": str(folder / "secret-key"),
                "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
            }
        )
        if options.serve:
            environment["BASE_URL"] = stack.enter_context(website(folder, database, variables))
            environment["ADMIN_PASSWORD_FILE"] = str(folder / "admin" / "password")
        return subprocess.run(options.command, cwd=PROJECT / options.chdir, env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stopped as reason:
        sys.exit(str(reason))
