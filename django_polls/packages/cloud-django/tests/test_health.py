"""Health checks."""

import logging
import os

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from cloud_django.health.apps import check_order
from cloud_django.health.middleware import HealthCheckMiddleware


def test_alive_without_a_database(client: Client) -> None:
    # Without the `db` mark, a query would raise an error.
    response = client.get("/livez")
    assert (response.status_code, response.text) == (200, "ok\n")


@pytest.mark.django_db
def test_ready(client: Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.text) == (200, "ok\n")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "[fd00::1]:8000", "anything.example", "-bad_host-"])
@override_settings(SECURE_SSL_REDIRECT=True)
def test_any_host_over_plain_http(client: Client, path: str, host: str) -> None:
    assert client.get(path, headers={"Host": host}).status_code == 200
    assert client.get("/", headers={"Host": "testserver"}).status_code == 301


@pytest.mark.django_db
def test_not_ready_until_all_migrations_are_applied(client: Client) -> None:
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")
    response = client.get("/readyz")
    assert (response.status_code, response.text) == (503, "unapplied migrations: 1\n")
    call_command("migrate", "sessions", "0001", fake=True, verbosity=0)
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_database_is_checked_until_the_first_success(client: Client) -> None:
    client.get("/readyz")
    with CaptureQueriesContext(connection) as captured:
        client.get("/readyz")
    assert len(captured) == 0


@pytest.mark.django_db
def test_later_migrations_in_the_database_are_accepted(client: Client) -> None:
    MigrationRecorder(connection).record_applied("sessions", "0999_of_the_next_release")
    assert client.get("/readyz").status_code == 200


def test_not_ready_without_the_database(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OperationalError("connection to db.internal failed\nfor user x")

    monkeypatch.setattr(connection, "cursor", fail)
    with caplog.at_level(logging.WARNING):
        response = client.get("/readyz")
    assert (response.status_code, response.text) == (503, "database unavailable\n")
    assert "db.internal" in caplog.text


@pytest.mark.django_db
def test_pod_stays_ready_if_the_database_fails_later(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("connection to db.internal failed")

    assert client.get("/readyz").text == "ok\n"
    monkeypatch.setattr(connection, "cursor", fail)
    response = client.get("/readyz")
    assert (response.status_code, response.text) == (200, "ok\n")


def test_workers_share_their_readiness() -> None:
    middleware = HealthCheckMiddleware(lambda request: HttpResponse())
    if not (child := os.fork()):
        middleware.was_ready[0] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert middleware.was_ready[0] == 1


def test_other_methods_are_refused(client: Client) -> None:
    assert client.post("/livez").status_code == 405


def test_the_order_of_the_middleware_is_checked() -> None:
    ours, theirs = (
        "cloud_django.health.middleware.HealthCheckMiddleware",
        "django.middleware.security.SecurityMiddleware",
    )
    with override_settings(MIDDLEWARE=[ours, theirs]):
        assert check_order(None) == []
    with override_settings(MIDDLEWARE=[theirs, ours]):
        assert [message.id for message in check_order(None)] == ["health.W002"]
    with override_settings(MIDDLEWARE=[theirs]):
        assert [message.id for message in check_order(None)] == ["health.W001"]
