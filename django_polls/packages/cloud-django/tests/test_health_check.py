"""Check of a database connection that needs no query."""

import time

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from cloud_django.postgresql import base

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return the results of checks with a query, which a new connection does not need."""
    done: list[bool] = []
    own = DatabaseWrapper.is_usable

    def is_usable(self: DatabaseWrapper) -> bool:
        done.append(own(self))
        return done[-1]

    connection.close()
    connection.ensure_connection()
    connection.is_usable()
    monkeypatch.setattr(DatabaseWrapper, "is_usable", is_usable)
    return done


def test_connection_that_works_needs_no_query(checks: list[bool]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.is_usable()
    assert checks == []


def test_connection_that_the_server_closed_is_noticed(checks: list[bool]) -> None:
    other = connection.copy()
    with connection.cursor() as cursor, other.cursor() as killer:
        cursor.execute("SELECT pg_backend_pid()")
        killer.execute("SELECT pg_terminate_backend(%s, 20000)", cursor.fetchone())
    other.close()
    assert not connection.is_usable()
    assert checks == [False]
    connection.close()


def test_connection_with_an_error_is_tested(checks: list[bool]) -> None:
    connection.errors_occurred = True
    assert connection.is_usable()
    assert checks == [True]


def test_connection_is_tested_after_a_second(checks: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection._next_check <= time.monotonic() + 1
    monkeypatch.setattr(base, "CHECK_SECONDS", 0.0)
    connection._next_check = 0.0
    assert connection.is_usable()
    assert connection.is_usable()
    assert checks == [True, True]
