"""Sessions with a cache that can fail."""

import socket
from collections.abc import Callable

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import Client, override_settings

from cloud_django.cache import LONGEST_SESSION_SECONDS, ForgivingRedisCache, ServerState, cache_settings
from cloud_django.environment import Environment
from testing import CacheServer


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the cache failure of an earlier test."""
    monkeypatch.setattr(ForgivingRedisCache, "state", ServerState())


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


@pytest.mark.usefixtures("administrator")
def test_sessions_survive_failure_of_a_real_cache(client: Client, start_cache: Callable[..., CacheServer]) -> None:
    server = start_cache(tls=True)
    with shared_cache(server.port, CACHE_SECRET_DIRECTORY=str(server.secret)):
        log_in_and_look(client)
        key = f"django.contrib.sessions.cached_db{client.session.session_key}"
        assert caches["sessions"].get(key)
        connection = caches["sessions"]._cache.get_client()
        assert 0 < connection.ttl(caches["sessions"].make_key(key)) <= LONGEST_SESSION_SECONDS
        caches["default"].set("count", 1)
        assert caches["default"].incr("count") == 2

        assert LONGEST_SESSION_SECONDS <= 30

        server.stop()
        assert client.get("/admin/").status_code == 200
        assert client.post("/admin/logout/").status_code == 200
        assert client.get("/admin/").status_code == 302
