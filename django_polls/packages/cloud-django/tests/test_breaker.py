"""Threads don't queue for an unavailable database."""

import pytest

from cloud_django.breaker import Breaker


class AwayError(Exception):
    """The server does not answer, or answers with the reason for refusing the connection."""


class Clock:
    """A clock that the test advances."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(1.0, clock)


def fails(breaker: Breaker, words: str = "timeout expired") -> bool:
    """Return whether an attempt fails with this error."""
    tried = False
    try:
        with breaker.attempt(AwayError):
            tried = True
            raise AwayError(words)
    except AwayError:
        return tried


def succeeds(breaker: Breaker) -> bool:
    try:
        with breaker.attempt(AwayError):
            return True
    except AwayError:
        return False


def test_open_breaker_allows_one_attempt_per_second(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker)
    assert not fails(breaker)
    clock.now = 1.0
    assert fails(breaker)
    assert not fails(breaker)
    clock.now = 1.9
    assert not succeeds(breaker)
    clock.now = 2.0
    assert succeeds(breaker)
    assert fails(breaker)


def test_other_threads_fail_at_once_during_an_attempt(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker)
    clock.now = 1.0
    with breaker.attempt(AwayError):
        clock.now = 3.0
        assert not succeeds(breaker)
    assert succeeds(breaker)


def test_refused_connection_does_not_open_the_breaker(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker, "FATAL:  too many connections for role")
    assert fails(breaker, "FATAL:  too many connections for role")
    assert fails(breaker)
    clock.now = 1.0
    assert fails(breaker, "FATAL:  the database system is starting up")
    assert succeeds(breaker)


def test_unexpected_error_releases_the_attempt(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker)
    clock.now = 1.0
    with pytest.raises(KeyError), breaker.attempt(AwayError):
        raise KeyError
    # It did not reach the server, so another attempt is allowed at once.
    assert fails(breaker)
    clock.now = 2.0
    assert succeeds(breaker)


def test_unexpected_error_leaves_the_breaker_closed(breaker: Breaker) -> None:
    with pytest.raises(KeyError), breaker.attempt(AwayError):
        raise KeyError
    assert succeeds(breaker)


def test_late_answer_does_not_close_the_breaker(breaker: Breaker) -> None:
    with breaker.attempt(AwayError):
        assert fails(breaker)
    assert not succeeds(breaker)
