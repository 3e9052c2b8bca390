"""Threads do not queue up in front of a database that is away."""

import pytest

from cloud_django.postgresql.breaker import Breaker


class AwayError(Exception):
    """The server gives no answer, or one that says why it does not let us in."""


class Clock:
    """A clock that is put forward by hand."""

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
    """Try in vain; tell whether it came to that."""
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


def test_after_a_failure_one_in_a_second_tries(breaker: Breaker, clock: Clock) -> None:
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


def test_while_one_tries_the_others_do_not_wait(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker)
    clock.now = 1.0
    with breaker.attempt(AwayError):
        clock.now = 3.0
        assert not succeeds(breaker)
    assert succeeds(breaker)


def test_who_is_told_why_got_an_answer(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker, "FATAL:  too many connections for role")
    assert fails(breaker, "FATAL:  too many connections for role")
    assert fails(breaker)
    clock.now = 1.0
    assert fails(breaker, "FATAL:  the database system is starting up")
    assert succeeds(breaker)


def test_another_error_does_not_keep_the_turn(breaker: Breaker, clock: Clock) -> None:
    assert fails(breaker)
    clock.now = 1.0
    with pytest.raises(KeyError), breaker.attempt(AwayError):
        raise KeyError
    clock.now = 2.0
    assert succeeds(breaker)
