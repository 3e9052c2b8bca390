"""Fixtures that the tests of all apps share."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

from cloud_django.pages import pages
from polls.models import Choice, Question, open_questions
from testing import PROJECT, CacheServer, Server, run_python


@pytest.fixture(scope="session", autouse=True)
def plain_static_files() -> Iterator[None]:
    """Use static files without hashed names, so that tests of pages need no collectstatic."""
    storages = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    with override_settings(STORAGES=storages):
        yield


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    """Forget pages of an earlier test."""
    pages.clear()
    open_questions.forget()


@pytest.fixture
def start_cache(tmp_path: Path) -> Iterator[Callable[..., CacheServer]]:
    """Start cache servers."""
    running: list[CacheServer] = []

    def run(**options: Any) -> CacheServer:
        running.append(CacheServer(tmp_path / f"cache-{len(running)}", **options))
        return running[-1]

    yield run
    for server in running:
        server.stop()


@pytest.fixture
def make_question(db: None) -> Callable[..., Question]:
    """Return a function that creates a question with choices, by default published an hour ago."""

    def make(text: str = "Tea or coffee?", choices: tuple[str, ...] = ("Tea", "Coffee"), **fields: Any) -> Question:
        fields.setdefault("published_at", timezone.now() - timedelta(hours=1))
        question = Question.objects.create(text=text, **fields)
        for position, choice in enumerate(choices):
            Choice.objects.create(question=question, position=position, text=choice)
        return question

    return make


@pytest.fixture
def question(make_question: Callable[..., Question]) -> Question:
    """Return an open question."""
    return make_question()


@pytest.fixture
def administrator(db: None) -> AbstractUser:
    """Return a superuser."""
    return get_user_model().objects.create_superuser("admin", "admin@example.org", "a long enough passphrase")


@pytest.fixture
def admin_page(administrator: AbstractUser) -> Client:
    """Return a client that is logged in to the admin."""
    client = Client()
    client.force_login(administrator)
    return client


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of static files as the image has them."""
    folder = tmp_path_factory.mktemp("static")
    result = run_python(
        "manage.py",
        "collectstatic",
        "--noinput",
        DJANGO_SETTINGS_MODULE="static_settings",
        DJANGO_STATIC_ROOT=str(folder),
    )
    if result.returncode:
        raise AssertionError(result.stderr)
    return folder


@pytest.fixture
def start(tmp_path: Path, static_root: Path) -> Iterator[Callable[..., Server]]:
    """Start gunicorn with changed variables and wait until it answers."""
    running: list[subprocess.Popen[bytes]] = []

    def run(**variables: str) -> Server:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        log = tmp_path / f"log-{port}"
        environment = os.environ | {
            "WEB_BIND": f"127.0.0.1:{port}",
            "DATABASE_NAME": connection.settings_dict["NAME"],
            "DJANGO_STATIC_ROOT": str(static_root),
            "LOG_FORMAT": "json",
            **variables,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "config.wsgi"],
                cwd=PROJECT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        server = Server(port, log, process)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError):
                if server.get("/livez")[0] == 200:
                    return server
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    yield run
    for process in running:
        process.terminate()
        process.wait(timeout=40)


@pytest.fixture
def dead_database() -> dict[str, str]:
    """Return the settings of a port without a database server."""
    return {"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": "1", "DATABASE_SSLMODE": "disable"}
