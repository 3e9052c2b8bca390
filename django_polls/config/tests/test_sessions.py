"""Sessions with a cache that can fail."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import Client, override_settings

from cloud_django.cache import LONGEST_SESSION_SECONDS, ForgivingRedisCache, cache_settings
from cloud_django.environment import Environment


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(autouse=True)
def no_pause() -> Iterator[None]:
    """Clear the cache failure of an earlier test."""
    ForgivingRedisCache._silent_until = 0.0
    yield
    ForgivingRedisCache._silent_until = 0.0


def shared_cache(port: int, **more: str) -> override_settings:
    """Return the settings for a shared cache."""
    variables = {"CACHE_HOST": "127.0.0.1", "CACHE_PORT": str(port), "CACHE_TLS": "no", **more}
    return override_settings(
        CACHES=cache_settings(Environment(variables), "tests"),
        SESSION_ENGINE="django.contrib.sessions.backends.cached_db",
        SESSION_CACHE_ALIAS="sessions",
    )


def log_in_and_look(client: Client) -> None:
    """Log in with the form and check that the next request has the session."""
    form = {"username": "admin", "password": "a long enough passphrase"}
    assert client.post("/admin/login/?next=/admin/", form).status_code == 302
    assert client.get("/admin/").status_code == 200


def test_sessions_without_shared_cache_are_in_the_database() -> None:
    assert settings.SESSION_ENGINE == "django.contrib.sessions.backends.db"


@pytest.mark.usefixtures("administrator")
def test_login_works_without_the_cache(client: Client) -> None:
    with shared_cache(free_port()):
        log_in_and_look(client)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Return the port of a real server, if the machine has one."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is on PATH")
    port = free_port()
    arguments = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    (tmp_path / "password").write_text("p@:/ é 🔑\n")
    server = subprocess.Popen([*arguments, "--requirepass", "p@:/ é 🔑"], stdout=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port, server
    server.kill()
    server.wait()


@pytest.mark.usefixtures("administrator")
def test_sessions_survive_failure_of_a_real_cache(
    client: Client, redis_server: tuple[int, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    port, server = redis_server
    with shared_cache(port, CACHE_PASSWORD_FILE=str(tmp_path / "password")):
        log_in_and_look(client)
        key = f"django.contrib.sessions.cached_db{client.session.session_key}"
        assert caches["sessions"].get(key)
        connection = caches["sessions"]._cache.get_client()
        assert 0 < connection.ttl(caches["sessions"].make_key(key)) <= LONGEST_SESSION_SECONDS
        caches["default"].set("count", 1)
        assert caches["default"].incr("count") == 2

        server.kill()
        server.wait()
        assert client.get("/admin/").status_code == 200
        assert client.post("/admin/logout/").status_code == 200
        assert client.get("/admin/").status_code == 302
