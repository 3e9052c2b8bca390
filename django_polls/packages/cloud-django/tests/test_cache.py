"""A cache that can fail."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from django.test import override_settings

from cloud_django.cache import PAUSE_SECONDS, ForgivingRedisCache, JSONSerializer, cache_settings
from cloud_django.environment import Environment


@pytest.fixture(autouse=True)
def no_pause() -> Iterator[None]:
    """Clear the cache failure of an earlier test."""
    ForgivingRedisCache._silent_until = 0.0
    yield
    ForgivingRedisCache._silent_until = 0.0


def test_password_and_ca_are_forwarded_unchanged(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("@:/?#% é\n")
    variables = {
        "CACHE_HOST": "cache",
        "CACHE_PASSWORD_FILE": str(tmp_path / "password"),
        "CACHE_USER": "site",
        "CACHE_CA_FILE": "/ca.crt",
    }
    entry = cache_settings(Environment(variables), "tests")["default"]
    assert entry["LOCATION"] == "rediss://cache:6379/0"
    assert entry["OPTIONS"]["password"] == "@:/?#% é"
    assert entry["OPTIONS"]["ssl_ca_certs"] == "/ca.crt"


@pytest.mark.parametrize("value", [0, -5, True, None, "text é", [1, {"a": None}], 1.5])
def test_values_survive_the_serializer(value: object) -> None:
    serializer = JSONSerializer()
    assert serializer.loads(str(serializer.dumps(value)).encode()) == value


def test_failed_cache_is_a_miss_and_is_skipped_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr("cloud_django.cache.time", SimpleNamespace(monotonic=lambda: now[0]))
    # No process listens on port 1.
    variables = {"CACHE_HOST": "127.0.0.1", "CACHE_PORT": "1", "CACHE_TLS": "no"}
    with override_settings(CACHES=cache_settings(Environment(variables), "tests")):
        cache = caches["default"]
        assert cache.get("key", "default") == "default"
        # Each attempt is logged.
        assert len(caplog.messages) == 1
        now[0] += PAUSE_SECONDS - 1
        for _ in range(2):
            cache.set("key", 1)
            assert cache.get("key") is None
            assert cache.get_many(["key"]) == {}
            assert cache.add("key", 1) is False
            assert "key" not in cache
            assert cache.delete("key") is False
        assert len(caplog.messages) == 1
        now[0] += 2
        assert cache.get("key", "default") == "default"
        assert len(caplog.messages) == 2
