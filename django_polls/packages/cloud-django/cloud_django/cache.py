"""Shared cache whose loss does not affect the site."""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.credentials import CredentialProvider
from redis.retry import Retry

from cloud_django.breaker import Breaker
from cloud_django.cache_values import count, counts, sealed, unsealed
from cloud_django.environment import Environment

logger = logging.getLogger(__name__)

# After a failure, one call per interval tries the server. All others are misses at once.
PAUSE_SECONDS = 5.0
# For one answer, and after which a call sends nothing more. So a call takes at most twice as long.
TIMEOUT_SECONDS = 0.5
# A slower answer is used, but counts as a failure. A query of the database is faster.
SLOW_SECONDS = 0.25
LONGEST_SESSION_SECONDS = 30
MOST_MISSED_KEYS = 1000

# Result of an attempt that failed, where None is a result.
FAILED = object()


class SkippedError(Exception):
    """The server failed a moment ago."""


class Unchanged:
    """Serializer for values that are bytes already."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, data: bytes) -> bytes:
        return data


class Condition:
    """Whether something works. Each change is logged once, and back to normal only after a while."""

    def __init__(self, works: str, fails: str) -> None:
        self.messages = {True: works, False: fails}
        self.is_well, self.failed_at = True, 0.0
        self.lock = threading.Lock()

    def failed(self, error: Exception) -> None:
        with self.lock:
            was_well, self.is_well, self.failed_at = self.is_well, False, time.monotonic()
        if was_well:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("%s (%s)", self.messages[False], reason[:300])

    def worked(self) -> None:
        if self.is_well or time.monotonic() - self.failed_at < PAUSE_SECONDS:
            return
        with self.lock:
            was_well, self.is_well = self.is_well, True
        if not was_well:
            logger.warning("%s (%s)", self.messages[True], ", ".join(f"{name} {n}" for name, n in counts.items()))


class ServerState:
    """State of the server for all threads of this worker, each of which has its own instance of the backend."""

    def __init__(self) -> None:
        self.breaker = Breaker(PAUSE_SECONDS)
        self.answers = Condition("The cache answers again.", "The cache does not answer. The site works without it.")
        self.accepts = Condition("The cache accepts values again.", "The cache refuses values.")
        # Keys that were not deleted because the server did not answer, the oldest first.
        self.missed: dict[str, None] = {}
        self.lock = threading.Lock()

    def miss(self, keys: Iterable[str]) -> None:
        """Store keys that have to be deleted, and drop the oldest ones above the limit."""
        with self.lock:
            self.missed |= dict.fromkeys(keys)
            while len(self.missed) > MOST_MISSED_KEYS:
                del self.missed[next(iter(self.missed))]

    def take_missed(self) -> list[str]:
        with self.lock:
            missed, self.missed = self.missed, {}
        return list(missed)


class Call(threading.local):
    """The current call of a thread."""

    # Start of the call, or of its command on a new connection.
    since = 0.0
    until = math.inf


call = Call()


class BoundedConnection(redis.Connection):
    """Connection whose answers to one call, also those while it connects, are limited in time together.

    A new connection needs up to six answers. With a timeout for each of them, a slow server could cost seconds.
    """

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if time.monotonic() > call.until:
            self.disconnect()
            raise redis.TimeoutError("The answers took too long.")
        super().send_packed_command(command, check_health)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        call.since = time.monotonic()


class BoundedSSLConnection(BoundedConnection, redis.SSLConnection):
    """The same with TLS."""


class ForgivingRedisCache(RedisCache):
    """Redis cache whose failures look like misses, and whose values are signed.

    Django's own class raises an exception, and waits for the timeout in each call while the server does not answer.
    Its serializer does not get the key, which the signature has to contain.
    """

    state = ServerState()

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        key = self.make_and_validate_key(key, version=version)
        data, seconds = sealed(key, value), self.get_backend_timeout(timeout)
        return data is not None and self._attempt(self._cache.add, False, key, data, seconds)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        key = self.make_and_validate_key(key, version=version)
        data = self._attempt(self._cache.get, None, key, None)
        return default if data is None else unsealed(key, data, default)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        key = self.make_and_validate_key(key, version=version)
        data, seconds = sealed(key, value), self.get_backend_timeout(timeout)
        if data is None or self._attempt(self._cache.set, FAILED, key, data, seconds) is FAILED:
            # An old value would stay, although the server refused only the new one.
            self._delete([key])

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        key = self.make_and_validate_key(key, version=version)
        return self._attempt(self._cache.touch, False, key, self.get_backend_timeout(timeout))

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._delete([self.make_and_validate_key(key, version=version)])

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        found = self._attempt(self._cache.get_many, {}, names) if names else {}
        values = {names[key]: unsealed(key, data, FAILED) for key, data in found.items()}
        return {key: value for key, value in values.items() if value is not FAILED}

    def has_key(self, key: str, version: int | None = None) -> bool:
        return self._attempt(self._cache.has_key, False, self.make_and_validate_key(key, version=version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Increment a number. The server cannot, because the number is signed, so it is changed in a transaction."""
        number = self._attempt(self._incremented, delta, self.make_and_validate_key(key, version=version), delta)
        if number is None:
            raise ValueError(f"Key '{key}' not found.")
        return number

    def set_many(self, data: dict[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[str]:
        names = {self.make_and_validate_key(key, version=version): key for key in data}
        values = {key: sealed(key, data[name]) for key, name in names.items()}
        good = {key: value for key, value in values.items() if value is not None}
        seconds = self.get_backend_timeout(timeout)
        if good and self._attempt(self._cache.set_many, FAILED, good, seconds) is FAILED:
            good = {}
        if failed := [key for key in names if key not in good]:
            self._delete(failed)
        return [names[key] for key in failed]

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        if names := [self.make_and_validate_key(key, version=version) for key in keys]:
            self._delete(names)

    def clear(self) -> bool:
        return self._attempt(self._cache.clear, False)

    def _attempt(self, method: Callable[..., Any], otherwise: Any, *arguments: Any) -> Any:
        state = ForgivingRedisCache.state
        try:
            is_trial = state.breaker.begin(SkippedError)
        except SkippedError:
            counts["skipped"] += 1
            return otherwise
        # Other errors say nothing about the server.
        answered = None
        call.since = time.monotonic()
        call.until = call.since + TIMEOUT_SECONDS
        try:
            if state.missed:
                self._delete_missed(state)
            result = method(*arguments)
            seconds = time.monotonic() - call.since
            answered = seconds < SLOW_SECONDS
        except redis.ResponseError as error:
            # An answer of the server, for example that its memory is full. Reads still work then.
            answered = True
            counts["refused"] += 1
            state.accepts.failed(error)
            return otherwise
        except (redis.RedisError, OSError) as error:
            answered = False
            counts["failed"] += 1
            state.answers.failed(error)
            return otherwise
        finally:
            call.until = math.inf
            state.breaker.end(is_trial, answered=answered)
        if not answered:
            counts["slow"] += 1
            state.answers.failed(redis.TimeoutError(f"The answer took {seconds:.2f} s."))
            return result
        state.answers.worked()
        if method.__name__ in {"add", "set", "set_many"}:
            state.accepts.worked()
        return result

    def _delete(self, keys: list[str]) -> bool:
        """Delete keys, or store them until the server answers again. Return whether the first one was there."""
        deleted = self._attempt(self._deleted, FAILED, keys)
        if deleted is FAILED:
            ForgivingRedisCache.state.miss(keys)
            return False
        return deleted

    def _deleted(self, keys: list[str]) -> bool:
        return self._cache.get_client(None, write=True).delete(*keys) > 0

    def _delete_missed(self, state: ServerState) -> None:
        """Delete keys before this call could read one of them. The server forgets a key that it refuses to delete."""
        missed = state.take_missed()
        try:
            self._deleted(missed)
        except redis.ResponseError:
            counts["refused"] += 1
        except BaseException:
            state.miss(missed)
            raise

    def _incremented(self, key: str, delta: int) -> int | None:
        """Return the new number, or None without an old one. The transaction starts again if another one was faster."""

        def change(pipeline: Pipeline) -> int | None:
            data = pipeline.get(key)
            number = None if data is None else unsealed(key, data, None)
            pipeline.multi()
            if number is not None:
                number += delta
                pipeline.set(key, sealed(key, number), keepttl=True)
            return number

        client = self._cache.get_client(key, write=True)
        return client.transaction(change, key, value_from_callable=True)


class SessionCache(ForgivingRedisCache):
    """Cache for sessions that the database stores.

    If the cache misses a logout, a copy of the session remains. Its lifetime is limited to seconds, not the weeks of a
    session.
    """

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        session = super().get(key, default, version)
        if session is default or isinstance(session, dict):
            return session
        count("unreadable", "A value in the cache is not a session, and is ignored.")
        return default

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> int:
        seconds = super().get_backend_timeout(timeout)
        return LONGEST_SESSION_SECONDS if seconds is None else min(seconds, LONGEST_SESSION_SECONDS)


class FileCredentials(CredentialProvider):
    """User and password, read from files for each new connection, because Kubernetes replaces the files."""

    def __init__(self, user: Path | str, password: Path | None) -> None:
        self.user, self.password = user, password

    def get_credentials(self) -> tuple[str, ...]:
        user = line_of(self.user) if isinstance(self.user, Path) else self.user
        password = line_of(self.password) if self.password else ""
        if not password:
            return ()
        return (user, password) if user else (password,)


def line_of(path: Path) -> str:
    """Return the content of a file without the newline at its end, or an empty string if there is no file."""
    if not path.exists():
        return ""
    # A password that is not UTF-8 becomes a wrong one, which the site survives.
    return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").removesuffix("\r")


def release_of(directory: Path) -> str:
    """Return a hash of the files of a project and of this package, so that a release never reads values of another."""
    digest = hashlib.blake2b(digest_size=6)
    # In an image, the package is among the installed ones, and the project does not contain it.
    for root in (directory, Path(__file__).parent):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if path.suffix in {".py", ".html", ".txt"} and "site-packages" not in name.parts:
                digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_settings(environment: Environment, key_prefix: str, release: str = "") -> dict[str, Any]:
    """Return CACHES: local memory of the worker, or the server that CACHE_SECRET_DIRECTORY or CACHE_HOST names.

    CACHE_KEY_PREFIX overrides the prefix of the keys. Sessions have no release in their keys. Otherwise, during a
    rollout, a session that ended in one release would stay in the cache of the other.
    """
    server = _server(environment)
    if server is None:
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    location, options = server
    prefix = environment.text("CACHE_KEY_PREFIX", key_prefix)
    options |= {
        "serializer": "cloud_django.cache.Unchanged",
        "connection_class": BoundedSSLConnection if location.startswith("rediss:") else BoundedConnection,
        # Each thread has its own pool, and uses one connection of it.
        "max_connections": 2,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        # Once at once, because an idle connection fails on its first use after a restart of the server. Not after a
        # timeout, which would double it.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }
    shared = {"LOCATION": location, "OPTIONS": options}
    return {
        "default": {
            "BACKEND": "cloud_django.cache.ForgivingRedisCache",
            "KEY_PREFIX": f"{prefix}:{release}" if release else prefix,
            **shared,
        },
        "sessions": {"BACKEND": "cloud_django.cache.SessionCache", "KEY_PREFIX": prefix, **shared},
    }


def _server(environment: Environment) -> tuple[str, dict[str, Any]] | None:
    """Return the URL of the server without credentials, and options, or None without a server."""
    directory = Path(environment.text("CACHE_SECRET_DIRECTORY"))
    if environment.text("CACHE_SECRET_DIRECTORY") and (host := line_of(directory / "host")):
        port, authority = line_of(directory / "port"), directory / "ca"
        encrypted = line_of(directory / "url").startswith("rediss:")
        credentials = FileCredentials(directory / "user", directory / "password")
    elif host := environment.text("CACHE_HOST"):
        port, authority = str(environment.number("CACHE_PORT", 6379, least=1, most=65535)), None
        encrypted = environment.flag("CACHE_TLS", default=True)
        if given := environment.text("CACHE_CA_FILE"):
            authority = Path(given)
        # Fails now if the file cannot be read.
        environment.optional_secret("CACHE_PASSWORD_FILE")
        password = environment.text("CACHE_PASSWORD_FILE")
        credentials = FileCredentials(environment.text("CACHE_USER"), Path(password) if password else None)
    else:
        return None
    options: dict[str, Any] = {"credential_provider": credentials}
    # Without a file, the certificate must be from an authority that the image trusts.
    if encrypted and authority and line_of(authority):
        options["ssl_ca_certs"] = str(authority)
    address = f"[{host}]" if ":" in host else host
    return f"{'rediss' if encrypted else 'redis'}://{address}:{port or 6379}/0", options
