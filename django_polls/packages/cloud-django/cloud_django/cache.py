"""Shared cache whose loss does not affect the site."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.retry import Retry

from cloud_django.environment import Environment

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
LONGEST_SESSION_SECONDS = 300


class JSONSerializer:
    """Serialize values as JSON, because unpickling would let anyone who can write to the cache run code here.

    Integers are stored as they are, so that the server can increment them.
    """

    def dumps(self, value: Any) -> int | str:
        return value if type(value) is int else json.dumps(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class ForgivingRedisCache(RedisCache):
    """Redis cache whose failures look like misses.

    After a failure, the cache is skipped for a few seconds. Otherwise each call would wait for a timeout while the
    server is down, and the timeouts of a request would add up.
    """

    _silent_until = 0.0

    def _attempt(self, method: Callable[..., Any], otherwise: Any, *arguments: Any, **options: Any) -> Any:
        if time.monotonic() < ForgivingRedisCache._silent_until:
            return otherwise
        try:
            return method(*arguments, **options)
        except (redis.RedisError, OSError) as error:
            # On the class, because each thread has its own instance and all use the same server.
            ForgivingRedisCache._silent_until = time.monotonic() + PAUSE_SECONDS
            logger.warning(
                "The cache does not answer (%s). It is skipped for %d s.", type(error).__name__, PAUSE_SECONDS
            )
            return otherwise

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._attempt(super().add, False, key, value, timeout, version)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._attempt(super().get, default, key, default, version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._attempt(super().set, None, key, value, timeout, version)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._attempt(super().touch, False, key, timeout, version)

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._attempt(super().delete, False, key, version)

    def get_many(self, keys: Any, version: int | None = None) -> dict[str, Any]:
        return self._attempt(super().get_many, {}, keys, version)

    def has_key(self, key: str, version: int | None = None) -> bool:
        return self._attempt(super().has_key, False, key, version)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return self._attempt(super().incr, delta, key, delta, version)

    def set_many(self, data: dict[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[str]:
        return self._attempt(super().set_many, list(data), data, timeout, version)

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._attempt(super().delete_many, None, keys, version)

    def clear(self) -> bool:
        return self._attempt(super().clear, False)


class SessionCache(ForgivingRedisCache):
    """Cache for sessions that the database stores.

    If the cache misses a logout, a copy of the session remains. Its lifetime is limited to a few minutes, not the weeks
    of a session.
    """

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> int:
        seconds = super().get_backend_timeout(timeout)
        return LONGEST_SESSION_SECONDS if seconds is None else min(seconds, LONGEST_SESSION_SECONDS)


def cache_settings(environment: Environment, key_prefix: str) -> dict[str, Any]:
    """Return CACHES: local memory of the worker, or the shared server in CACHE_HOST.

    CACHE_KEY_PREFIX overrides the prefix of the keys.
    """
    host = environment.text("CACHE_HOST")
    if not host:
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    encrypted = environment.flag("CACHE_TLS", default=True)
    port = environment.number("CACHE_PORT", 6379, least=1, most=65535)
    options: dict[str, Any] = {
        "serializer": "cloud_django.cache.JSONSerializer",
        "socket_connect_timeout": 0.5,
        "socket_timeout": 0.5,
        # Retry once at once, because an idle connection fails on its first use after a restart of the server.
        "retry": Retry(NoBackoff(), 1),
        "health_check_interval": 30,
    }
    if user := environment.text("CACHE_USER"):
        options["username"] = user
    if password := environment.optional_secret("CACHE_PASSWORD_FILE"):
        options["password"] = password
    if encrypted and (authority := environment.text("CACHE_CA_FILE")):
        options["ssl_ca_certs"] = authority
    shared = {
        "LOCATION": f"{'rediss' if encrypted else 'redis'}://{host}:{port}/0",
        "KEY_PREFIX": environment.text("CACHE_KEY_PREFIX", key_prefix),
        "OPTIONS": options,
    }
    return {
        "default": {"BACKEND": "cloud_django.cache.ForgivingRedisCache", **shared},
        "sessions": {"BACKEND": "cloud_django.cache.SessionCache", **shared},
    }
