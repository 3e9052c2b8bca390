"""Shared cache whose loss does not affect the site."""

import hashlib
import hmac
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from cloud_django.breaker import Breaker
from cloud_django.environment import Environment

logger = logging.getLogger(__name__)

# After a failure, one call per interval tries the server. All others are misses at once.
PAUSE_SECONDS = 5.0
TIMEOUT_SECONDS = 0.5
LONGEST_SESSION_SECONDS = 300
MOST_BYTES = 256 * 1024
MAC_BYTES = 16

# How often the cache did not help, in this worker: skipped, failed, refused, unreadable, too_large.
counts: Counter[str] = Counter()
# Without it, two threads could count the first event at the same time, and neither would log it.
counting = threading.Lock()


# Result of an attempt that failed, where None is a result.
FAILED = object()


class UnusableValueError(ValueError):
    """A value that is too large, or that this site did not write."""


class SkippedError(Exception):
    """The server failed a moment ago."""


class SignedJSONSerializer:
    """Serialize values as JSON with a signature.

    Other applications may write to the same server. Unpickling would let them run code here, and without a signature
    they could change sessions and pages. Integers have none, so that the server can increment them.
    """

    def dumps(self, value: Any) -> int | bytes:
        if type(value) is int:
            return value
        text = json.dumps(value, separators=(",", ":")).encode()
        if len(text) > MOST_BYTES:
            count("too_large", "A value of %d bytes is too large for the cache.", len(text))
            raise UnusableValueError
        return self._mac(text, settings.SECRET_KEY) + text

    def loads(self, data: bytes) -> Any:
        try:
            if len(data) < 20 and data.removeprefix(b"-").isdigit():
                return int(data)
            mac, text = data[:MAC_BYTES], data[MAC_BYTES:]
            keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
            if len(text) <= MOST_BYTES and any(hmac.compare_digest(mac, self._mac(text, key)) for key in keys):
                return json.loads(text)
        except (ValueError, RecursionError):
            pass
        count("unreadable", "A value of %d bytes in the cache is not from this site, and is ignored.", len(data))
        raise UnusableValueError

    @staticmethod
    def _mac(text: bytes, key: str) -> bytes:
        # A key of blake2b has at most 64 bytes.
        return hashlib.blake2b(
            text, digest_size=MAC_BYTES, key=hashlib.sha512(key.encode()).digest(), person=b"cloud_django"
        ).digest()


def count(name: str, message: str, *arguments: object) -> None:
    """Count an event, and log the 1st, 10th, 100th and so on, so that a client cannot fill the log."""
    with counting:
        counts[name] += 1
        number = counts[name]
    if str(number).strip("0") == "1":
        logger.warning(message + " Number of such events: %d.", *arguments, number)


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


class ForgivingRedisCache(RedisCache):
    """Redis cache whose failures look like misses.

    Django's own class raises an exception, and waits for the timeout in each call while the server does not answer.
    """

    state = ServerState()

    def _attempt(self, method: Callable[..., Any], otherwise: Any, *arguments: Any, **options: Any) -> Any:
        state = ForgivingRedisCache.state
        try:
            is_trial = state.breaker.begin(SkippedError)
        except SkippedError:
            counts["skipped"] += 1
            return otherwise
        # Other errors, for example about a value that JSON cannot hold, say nothing about the server.
        answered = not is_trial
        try:
            result = method(*arguments, **options)
            answered = True
        except UnusableValueError:
            answered = True
            return otherwise
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
            state.breaker.end(is_trial, answered=answered)
        state.answers.worked()
        if method.__name__ in {"add", "set", "set_many"}:
            state.accepts.worked()
        return result

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._attempt(super().add, False, key, value, timeout, version)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._attempt(super().get, default, key, default, version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        if self._attempt(super().set, FAILED, key, value, timeout, version) is FAILED:
            # An old value would stay, although the server refused only the new one.
            self.delete(key, version)

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
        failed = self._attempt(super().set_many, FAILED, data, timeout, version)
        if failed is not FAILED:
            return failed
        self.delete_many(data, version)
        return list(data)

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._attempt(super().delete_many, None, keys, version)

    def clear(self) -> bool:
        return self._attempt(super().clear, False)


class SessionCache(ForgivingRedisCache):
    """Cache for sessions that the database stores.

    If the cache misses a logout, a copy of the session remains. Its lifetime is limited to a few minutes, not the weeks
    of a session.
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


class Remembered:
    """Number that is expensive to compute, remembered by this worker for some seconds and by the cache for longer.

    One thread computes it, while the others get the old one.
    """

    def __init__(self, name: str, compute: Callable[[], int], own_seconds: float, shared_seconds: int) -> None:
        self.name, self.compute = name, compute
        self.own_seconds, self.shared_seconds = own_seconds, shared_seconds
        self.value: int | None = None
        self.until = 0.0
        self.lock = threading.Lock()

    def get(self) -> int:
        # A variable, because another thread can forget the number at any moment.
        value = self.value
        if value is not None and (time.monotonic() < self.until or self.lock.locked()):
            return value
        with self.lock:
            value = self.value
            if value is None or time.monotonic() >= self.until:
                value = caches["default"].get(self.name)
                if type(value) is not int:
                    value = self.compute()
                    caches["default"].set(self.name, value, self.shared_seconds)
                self.value, self.until = value, time.monotonic() + self.own_seconds
            return value

    def forget(self) -> None:
        """Compute it again at the next call."""
        self.value = None
        caches["default"].delete(self.name)


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
    """Return a hash of the files of a project, so that a release never reads values of another one."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(directory.rglob("*")):
        if path.suffix in {".py", ".html", ".txt"} and "site-packages" not in path.parts:
            digest.update(f"{path.relative_to(directory)}\0".encode() + path.read_bytes() + b"\0")
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
        "serializer": "cloud_django.cache.SignedJSONSerializer",
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
