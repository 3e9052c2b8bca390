"""Settings of PostgreSQL for different memory limits and volumes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.quantity import parse
from rendering import PROJECT, rendered

FILE = "roles/postgresql/vars/main/config_map.yml"
LIMITS = ["64Mi", "256Mi", "512Mi", "1Gi", "4Gi", "2G", "2.5G", "1e9", 536870912, "1500M", "64Gi"]
UNITS = {"kB": 1024, "MB": 1024**2}
# Processes that use maintenance_work_mem at the same time: three of autovacuum, and one of a user.
MAINTENANCE = 4


def given(memory: Any, connections: Any = 200, volume: str = "10Gi", **settings: Any) -> dict[str, Any]:
    return {
        "postgresql_resources": {"limits": {"memory": memory}},
        "postgresql_max_connections": connections,
        "postgresql_storage_size": volume,
        "postgresql_settings": settings,
    }


def settings_of(*cases: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for [found] in rendered(FILE, ["__postgresql_all_settings"], list(cases))]


def size(text: str) -> Decimal:
    """Return the bytes of a size in postgresql.conf."""
    return Decimal(text[:-2]) * UNITS[text[-2:]]


@pytest.fixture(scope="module")
def by_limit() -> dict[Any, dict[str, Any]]:
    return dict(zip(LIMITS, settings_of(*map(given, LIMITS)), strict=True))


@pytest.mark.parametrize("limit", LIMITS)
def test_memory_stays_below_the_limit(limit: Any, by_limit: dict[Any, dict[str, Any]]) -> None:
    found = {name: size(value) for name, value in by_limit[limit].items() if str(value)[-2:] in UNITS}
    shared = found["shared_buffers"]
    # PostgreSQL's rule for wal_buffers.
    wal = min(shared / 32, 16 * UNITS["MB"])
    most = shared + wal + 200 * found["work_mem"] + MAINTENANCE * found["maintenance_work_mem"]
    assert most < parse(limit) * Decimal("0.9")
    assert shared > parse(limit) * Decimal("0.24")
    assert found["effective_cache_size"] < parse(limit)


def test_the_default_limit_has_these_settings(by_limit: dict[Any, dict[str, Any]]) -> None:
    defaults = yaml.safe_load((PROJECT / "roles/postgresql/defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["postgresql_resources"]["limits"] == {"memory": "512Mi"}
    assert defaults["postgresql_storage_size"] == "10Gi"
    expected = {
        "shared_buffers": "131072kB",
        "effective_cache_size": "314572kB",
        "maintenance_work_mem": "32768kB",
        "work_mem": "983kB",
        "max_wal_size": "1024MB",
        "min_wal_size": "80MB",
    }
    assert expected.items() <= by_limit["512Mi"].items()


def test_more_connections_have_less_memory_each() -> None:
    few, many, most = settings_of(given("1Gi", 20), given("1Gi", "400"), given("64Mi", 10000))
    assert few["work_mem"] == "19660kB"
    assert many["work_mem"] == "983kB"
    # The smallest value that PostgreSQL accepts.
    assert most["work_mem"] == "64kB"


@pytest.mark.parametrize(
    ("memory", "volume", "largest", "smallest"),
    [
        ("512Mi", "10Gi", "1024MB", "80MB"),
        ("512Mi", "100Gi", "1024MB", "80MB"),
        ("512Mi", "1Gi", "102MB", "80MB"),
        ("512Mi", "500Mi", "50MB", "50MB"),
        ("512Mi", "100Mi", "32MB", "32MB"),
        ("8Gi", "100Gi", "8192MB", "80MB"),
        ("8Gi", "20G", "1907MB", "80MB"),
    ],
)
def test_the_write_ahead_log_fits_on_the_volume(memory: str, volume: str, largest: str, smallest: str) -> None:
    [found] = settings_of(given(memory, volume=volume))
    assert (found["max_wal_size"], found["min_wal_size"]) == (largest, smallest)


def test_settings_of_the_user_take_precedence(by_limit: dict[Any, dict[str, Any]]) -> None:
    chosen = {"shared_buffers": "1MB", "max_wal_size": "48MB", "huge_pages": "try"}
    [found] = settings_of(given("512Mi", **chosen))
    assert found == by_limit["512Mi"] | chosen


@pytest.mark.parametrize("limit", LIMITS)
def test_an_acknowledged_write_survives_a_crash(limit: Any, by_limit: dict[Any, dict[str, Any]]) -> None:
    assert by_limit[limit]["synchronous_commit"] is True
    assert not {"fsync", "full_page_writes"} & by_limit[limit].keys()


def test_huge_pages_are_never_used(by_limit: dict[Any, dict[str, Any]]) -> None:
    assert by_limit["4Gi"]["huge_pages"] is False
    assert "--set=huge_pages=off" in (PROJECT / "roles/postgresql/files/initialize.sh").read_text(encoding="utf-8")
