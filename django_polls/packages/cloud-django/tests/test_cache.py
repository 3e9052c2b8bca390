"""A shared cache that fails in every way: with a real server, and nothing breaks."""

import logging
import pickle
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from cloud_django import cache as module
from cloud_django.cache import (
    MOST_MISSED_KEYS,
    SLOW_SECONDS,
    TIMEOUT_SECONDS,
    ForgivingRedisCache,
    ServerState,
    cache_settings,
    release_of,
)
from cloud_django.cache_values import MOST_BYTES, count, counts, sealed, unsealed
from cloud_django.environment import Environment
from cloud_django.remembered import Remembered
from testing import PROJECT, CacheServer, SlowNetwork, secret_directory

StartCache = Callable[..., CacheServer]
PAUSE = 0.2


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Forget failures of an earlier test, and pause for a shorter time."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", PAUSE)
    monkeypatch.setattr(ForgivingRedisCache, "state", ServerState())
    counts.clear()
    with caplog.at_level(logging.INFO, "cloud_django.cache"):
        yield


def shared(directory: Path, release: str = "") -> override_settings:
    """Return the settings of a pod with this Secret."""
    return override_settings(
        CACHES=cache_settings(Environment({"CACHE_SECRET_DIRECTORY": str(directory)}), "tests", release)
    )


# ---- Settings --------------------------------------------------------------------------------------------------------


def test_settings_from_the_secret(tmp_path: Path) -> None:
    secret_directory(tmp_path, "cache.example.org", 6380, password="pA1", user="site", authority="certificate")
    entry = cache_settings(Environment({"CACHE_SECRET_DIRECTORY": str(tmp_path)}), "polls", "abc")["default"]
    assert entry["LOCATION"] == "rediss://cache.example.org:6380/0"
    assert entry["KEY_PREFIX"] == "polls:abc"
    assert entry["OPTIONS"]["ssl_ca_certs"] == str(tmp_path / "ca")
    assert entry["OPTIONS"]["credential_provider"].get_credentials() == ("site", "pA1")


def test_settings_without_tls(tmp_path: Path) -> None:
    secret_directory(tmp_path, "::1", 6379, password="")
    entry = cache_settings(Environment({"CACHE_SECRET_DIRECTORY": str(tmp_path)}), "polls")["sessions"]
    assert entry["LOCATION"] == "redis://[::1]:6379/0"
    assert "ssl_ca_certs" not in entry["OPTIONS"]
    assert entry["OPTIONS"]["credential_provider"].get_credentials() == ()


def test_settings_from_variables(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("@:/?#% é\n")
    variables = {
        "CACHE_HOST": "cache",
        "CACHE_PASSWORD_FILE": str(tmp_path / "password"),
        "CACHE_USER": "site",
        "CACHE_CA_FILE": str(tmp_path / "password"),
        "CACHE_KEY_PREFIX": "other",
    }
    entry = cache_settings(Environment(variables), "tests")["default"]
    assert entry["LOCATION"] == "rediss://cache:6379/0"
    assert entry["KEY_PREFIX"] == "other"
    assert entry["OPTIONS"]["credential_provider"].get_credentials() == ("site", "@:/?#% é")
    assert entry["OPTIONS"]["ssl_ca_certs"] == str(tmp_path / "password")


@pytest.mark.parametrize("variables", [{}, {"CACHE_SECRET_DIRECTORY": "/nonexistent"}])
def test_no_cache_is_local_memory(variables: dict[str, str]) -> None:
    assert list(cache_settings(Environment(variables), "tests")) == ["default"]


def test_each_release_has_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = release_of(tmp_path)
    assert release_of(tmp_path) == first
    (tmp_path / "page.html").write_text("1")
    assert release_of(tmp_path) != first


def test_release_contains_the_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages/cloud_django"
    package.mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "cache.py"))
    project = tmp_path / "project"
    first = release_of(project)
    (package / "pages.py").write_text("1")
    assert release_of(project) != first


# ---- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -5, 10**18, True, None, "text é", [1, {"a": None}], 1.5])
def test_values_survive_the_seal(value: object) -> None:
    data = sealed("key", value)
    assert data is not None
    assert unsealed("key", data, "default") == value


FOREIGN = {
    "empty": b"",
    "text": b"foreign",
    "JSON": b'{"_auth_user_id": "1"}',
    "pickle": pickle.dumps({"a": 1}),
    "not UTF-8": b"\xff" * 100,
    "nested": b"[" * 100_000,
    "1 MB": b"x" * 1_000_000,
    "large number": b"9" * 5000,
    "number": b"7",
    "cut": (sealed("key", "value") or b"")[:-1],
    "value of another key": sealed("other", {"a": 1}) or b"",
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_foreign_values_are_noticed(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(9):
        assert unsealed("key", data, "default") == "default"
    assert counts["unreadable"] == 9
    assert len(caplog.messages) == 1


def test_rotated_key_still_reads_its_values() -> None:
    data = sealed("key", "value") or b""
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
        assert unsealed("key", data, None) is None
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert unsealed("key", data, None) == "value"


# ---- A real server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False])
def test_all_operations(start_cache: StartCache, tls: bool) -> None:
    server = start_cache(tls=tls)
    with shared(server.secret):
        cache = caches["default"]
        cache.set("key", {"a": [1]})
        assert cache.get("key") == {"a": [1]}
        assert cache.get_many(["key", "other"]) == {"key": {"a": [1]}}
        assert cache.add("key", 1) is False
        assert "key" in cache
        assert cache.delete("key") is True
        cache.set("count", 1, 60)
        assert cache.incr("count") == 2
        assert cache.decr("count", 5) == -3
        assert cache.get("count") == -3
        assert 0 < server.admin().ttl(cache.make_key("count")) <= 60
        assert cache.set_many({}) == []
        assert cache.get_many([]) == {}
        cache.delete_many([])
        cache.set("count", 1)
        cache.delete_many(["count", "other"])
        assert cache.get("count") is None
        assert cache.clear()
    assert not counts


def test_increments_of_many_threads_are_all_counted(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        caches["default"].set("count", 0)
        threads = [
            threading.Thread(target=lambda: [caches["default"].incr("count") for _ in range(25)]) for _ in "1234"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert caches["default"].get("count") + counts["skipped"] + counts["failed"] + counts["slow"] == 100


def test_another_site_with_the_same_prefix_is_not_read(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        for value in (5, {"a": 1}):
            with override_settings(SECRET_KEY="another"):
                caches["default"].set("key", value, None)
            assert caches["default"].get("key") is None
            caches["default"].set("key", value)
            assert caches["default"].get("key") == value


def test_value_that_is_copied_to_another_key_is_a_miss(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["sessions"]
        cache.set("administrator", {"_auth_user_id": "1"})
        server.admin().copy(cache.make_key("administrator"), cache.make_key("mine"))
        assert cache.get("mine") is None
        assert cache.get("administrator") == {"_auth_user_id": "1"}


def test_one_foreign_value_does_not_hide_the_others(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["default"]
        cache.set_many({"first": 1, "second": 2})
        server.admin().set(cache.make_key("foreign"), b"foreign")
        assert cache.get_many(["first", "foreign", "second"]) == {"first": 1, "second": 2}


def test_keys_of_another_release_are_not_read(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret, "old"):
        caches["default"].set("key", "old")
        caches["sessions"].set("session", {"a": 1})
    with shared(server.secret, "new"):
        assert caches["default"].get("key") is None
        # Otherwise a logout in one release would leave a session in the other.
        assert caches["sessions"].get("session") == {"a": 1}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("alias", ["default", "sessions"])
def test_foreign_value_under_our_key_is_a_miss(start_cache: StartCache, alias: str, data: bytes) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches[alias]
        key = cache.make_key("key")
        server.admin().set(key, data)
        assert cache.get("key", "default") == "default"
        assert counts["unreadable"] == 1
        server.admin().delete(key)
        server.admin().rpush(key, "a list")
        assert cache.get("key", "default") == "default"
        assert counts["refused"] == 1
        cache.set("key", {"a": 1})
        assert cache.get("key") == {"a": 1}


def test_value_that_is_not_a_session_is_a_miss(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        for value in ("text", 5, [1]):
            caches["sessions"].set("key", value)
            assert caches["sessions"].get("key") is None
    assert counts["unreadable"] == 3


def test_large_value_is_not_stored_and_replaces_the_old_one(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        cache, large = caches["sessions"], {"a": "x" * MOST_BYTES}
        cache.set("key", {"a": "old"})
        # The database has this session, and the old one would hide it.
        cache.set("key", large)
        assert cache.get("key") is None
        cache.set_many({"key": {"a": "old"}, "other": {}})
        assert cache.set_many({"key": large, "other": {"a": 1}}) == ["key"]
        assert cache.get_many(["key", "other"]) == {"other": {"a": 1}}
    assert counts["too_large"] == 2


def test_error_of_the_caller_is_no_failure_of_the_server(
    start_cache: StartCache, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["default"]
        with pytest.raises(ValueError, match="not found"):
            cache.incr("missing")
        with pytest.raises(TypeError, match="not JSON serializable"):
            cache.set("key", object())
        cache.set("key", "value")
        assert cache.get("key") == "value"
    assert not counts
    assert not caplog.messages


def test_server_of_the_role_allows_all_operations(start_cache: StartCache) -> None:
    """The role `cache` turns the default user off, and gives the site's user these permissions only."""
    configuration = (PROJECT.parent / "roles/cache/vars/main/config_map.yml").read_text()
    [permissions] = re.findall(r"^ +(~\* .+)$", configuration, re.MULTILINE)
    server = start_cache(tls=True, permissions=permissions)
    with shared(server.secret):
        cache = caches["default"]
        cache.set_many({"key": {"a": 1}, "count": 1})
        assert cache.get_many(["key", "count"]) == {"key": {"a": 1}, "count": 1}
        assert cache.incr("count") == 2
        with pytest.raises(ValueError, match="not found"):
            cache.incr("missing")
        assert cache.add("key", 1) is False
        assert cache.touch("key", 60) is True
        assert cache.has_key("key") is True
        assert cache.delete("key") is True
        cache.delete_many(["count"])
        assert cache.clear() is True
    assert not counts
    with pytest.raises(redis.ResponseError):
        server.admin().config_get("maxmemory")


# ---- Failures --------------------------------------------------------------------------------------------------------


def assert_bounded_and_logged_once(caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """Use a cache that does not answer, in many threads at the same time.

    The limits are for waiting. Threads also need time for TLS, one after the other, and other programs can delay them.
    """
    times = []

    def use() -> None:
        started = time.monotonic()
        for _ in range(20):
            assert caches["default"].get("key", "default") == "default"
            caches["default"].set("key", 1)
        times.append(time.monotonic() - started)

    module.PAUSE_SECONDS = 60.0
    ForgivingRedisCache.state = ServerState()
    threads = [threading.Thread(target=use) for _ in range(8)]
    working = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    working = time.process_time() - working
    assert max(times) < 2 * TIMEOUT_SECONDS + 0.5 + 5 * working
    [line] = caplog.messages
    assert "does not answer" in line
    assert reason in line
    # Each thread waits at most twice, however long the work takes.
    assert counts["skipped"] >= 8 * 38


def test_killed_server(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    with shared(server.secret):
        caches["default"].set("key", 1)
        server.process.kill()
        server.process.wait()
        assert_bounded_and_logged_once(caplog, "ConnectionError")


def test_frozen_server(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    with shared(server.secret):
        caches["default"].set("other", 1)
        server.process.send_signal(signal.SIGSTOP)
        assert_bounded_and_logged_once(caplog, "Timeout")
        server.process.send_signal(signal.SIGCONT)


def test_blocked_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Further connections to a full queue get no answer, like those that a NetworkPolicy drops.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        secret_directory(tmp_path, "127.0.0.1", listener.getsockname()[1], password="x")
        with shared(tmp_path):
            assert_bounded_and_logged_once(caplog, "Timeout")


@pytest.mark.parametrize("tls", [True, False])
def test_slow_server(start_cache: StartCache, caplog: pytest.LogCaptureFixture, tls: bool) -> None:
    server = start_cache(tls=tls)
    network = SlowNetwork(server.port)
    (server.secret / "port").write_text(str(network.port))
    # Shorter than the timeout of an answer, but a new connection needs several.
    network.seconds = 0.8 * TIMEOUT_SECONDS
    with shared(server.secret):
        assert_bounded_and_logged_once(caplog, "TimeoutError")
    network.stop()


def test_slow_answer_is_used_and_counts_as_a_failure(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    network = SlowNetwork(server.port)
    (server.secret / "port").write_text(str(network.port))
    with shared(server.secret):
        cache = caches["default"]
        cache.set("key", "value")
        assert not counts
        network.seconds = SLOW_SECONDS + 0.1
        assert cache.get("key") == "value"
        started = time.monotonic()
        assert [cache.get("key") for _ in range(50)] == [None] * 50
        assert time.monotonic() - started < SLOW_SECONDS
        assert counts["slow"] == 1
        assert "The answer took 0." in caplog.messages[0]
        network.seconds = 0.0
        time.sleep(PAUSE + 0.1)
        assert cache.get("key") == "value"
    network.stop()


def test_value_that_was_never_sent_leaves_the_breaker_open(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["default"]
        server.stop()
        cache.get("key")
        time.sleep(PAUSE + 0.1)
        cache.set("key", "x" * MOST_BYTES)
        with pytest.raises(TypeError, match="not JSON serializable"):
            cache.set("key", object())
        assert ForgivingRedisCache.state.breaker.is_open


def test_missed_deletes_are_repeated_before_the_next_read(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        sessions = caches["sessions"]
        for key in ("first", "second", "other"):
            sessions.set(key, {"a": 1})
        server.process.send_signal(signal.SIGSTOP)
        assert sessions.delete("first") is False
        sessions.delete_many(["second"])
        server.process.send_signal(signal.SIGCONT)
        time.sleep(PAUSE + 0.1)
        assert sessions.get("first") is None
        assert sessions.get("second") is None
        assert sessions.get("other") == {"a": 1}
        assert not ForgivingRedisCache.state.missed


def test_missed_deletes_are_limited() -> None:
    state = ServerState()
    for number in range(MOST_MISSED_KEYS + 5):
        state.miss([f"{number}"])
    assert len(state.missed) == MOST_MISSED_KEYS
    assert "0" not in state.missed


def test_wrong_password(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    (server.secret / "password").write_text("secret-sentinel")
    with shared(server.secret):
        assert_bounded_and_logged_once(caplog, "AuthenticationError")
        assert "secret-sentinel" not in caplog.text


def test_expired_certificate(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache(tls=True, is_expired=True)
    with shared(server.secret):
        assert_bounded_and_logged_once(caplog, "certificate has expired")


def test_certificate_of_another_server(
    start_cache: StartCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, other = start_cache(tls=True), start_cache(tls=True)
    (server.secret / "ca").write_text((other.secret / "ca").read_text())
    with shared(server.secret):
        assert_bounded_and_logged_once(caplog, "certificate verify failed")


def test_full_memory_stops_only_writes(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["default"]
        cache.set("before", "value")
        server.admin().config_set("maxmemory-policy", "noeviction")
        server.admin().config_set("maxmemory", "1")
        for _ in range(5):
            cache.set("key", "x" * 1000)
            assert cache.get("before") == "value"
        assert counts["refused"] == 5
        [line] = caplog.messages
        assert "refuses values" in line
        assert "OOM" in line or "maxmemory" in line
        server.admin().config_set("maxmemory", "0")
        time.sleep(PAUSE + 0.1)
        cache.set("key", "value")
        assert cache.get("key") == "value"
        assert "accepts values again" in caplog.messages[1]


def test_password_that_changes_while_the_site_runs(start_cache: StartCache, caplog: pytest.LogCaptureFixture) -> None:
    server = start_cache()
    with shared(server.secret):
        cache = caches["default"]
        cache.set("key", "value")
        server.change_password("another")
        assert cache.get("key") is None
        (server.secret / "password").write_text("another\n")
        until = time.monotonic() + 10
        while cache.get("key") is None and time.monotonic() < until:
            time.sleep(0.05)
        assert cache.get("key") == "value"
        time.sleep(PAUSE + 0.1)
        cache.get("key")
    assert [line.split(".")[0] for line in caplog.messages] == ["The cache does not answer", "The cache answers again"]


def test_restarted_server_costs_no_failure(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        caches["default"].set("key", "value")
        server.restart()
        caches["default"].set("key", "value")
        assert caches["default"].get("key") == "value"
    assert not counts


# ---- A remembered number ---------------------------------------------------------------------------------------------


def test_a_number_is_computed_once_for_all_workers(start_cache: StartCache) -> None:
    calls = []

    def compute() -> int:
        calls.append(1)
        return 5

    server = start_cache()
    with shared(server.secret):
        first, second = (Remembered("number", compute, 10, 60) for _ in range(2))
        assert [first.get(), first.get(), second.get()] == [5, 5, 5]
        assert len(calls) == 1
        server.admin().set(caches["default"].make_key("number"), "foreign")
        assert Remembered("number", compute, 10, 60).get() == 5
        assert len(calls) == 2
        server.process.kill()
        lonely = Remembered("other", compute, 10, 60)
        assert [lonely.get(), lonely.get()] == [5, 5]
        assert len(calls) == 3
        lonely.forget()
        lonely.get()
        assert len(calls) == 4


def test_number_that_is_forgotten_while_it_is_computed_does_not_stay() -> None:
    numbers = iter([1, 2])

    def compute() -> int:
        value = next(numbers)
        if value == 1:
            # Another thread, which has changed something.
            number.forget()
        return value

    number = Remembered("forgotten", compute, 10, 60)
    assert [number.get(), number.get(), number.get()] == [1, 2, 2]


def test_number_of_a_foreign_server_without_expiry_heals(start_cache: StartCache) -> None:
    server = start_cache()
    with shared(server.secret):
        key = caches["default"].make_key("number")
        server.admin().set(key, 99)
        assert Remembered("number", lambda: 5, 10, 60).get() == 5
        assert 0 < server.admin().ttl(key) <= 60


def test_other_workers_forget_a_number_after_their_seconds(start_cache: StartCache) -> None:
    numbers = iter([1, 2, 3])
    server = start_cache()
    with shared(server.secret):
        first, second = (Remembered("number", lambda: next(numbers), 10, 60) for _ in range(2))
        assert [first.get(), second.get()] == [1, 1]
        first.forget()
        assert first.known is None
        assert [first.get(), second.get(), second.known] == [2, 1, 1]
        assert second.get(0.0) == 2


def test_local_memory_does_not_keep_a_number_longer() -> None:
    numbers = iter([1, 2])
    number = Remembered("number", lambda: next(numbers), 0, 60)
    assert [number.get(), number.get()] == [1, 2]


def test_first_event_is_logged_in_any_case(caplog: pytest.LogCaptureFixture) -> None:
    threads = [threading.Thread(target=lambda: count("too_large", "Too large.")) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts["too_large"] == 50
    assert len(caplog.messages) == 2


def test_others_get_the_old_number_while_one_computes() -> None:
    started, finish = threading.Event(), threading.Event()
    values = iter([1, 2])

    def compute() -> int:
        value = next(values)
        if value == 2:
            started.set()
            finish.wait(10)
        return value

    number = Remembered("slow", compute, 0, 0)
    assert number.get() == 1
    thread = threading.Thread(target=number.get)
    thread.start()
    started.wait(10)
    assert number.get() == 1
    finish.set()
    thread.join()
