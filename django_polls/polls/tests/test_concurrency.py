"""Parallel votes, each with its own connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.test import Client

from polls.models import Choice, Question

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE, VOTES_EACH = 12, 10


def in_threads(work: Callable[[int], object], count: int = PEOPLE) -> list[object]:
    """Run the function in threads that start together, and close each thread's connection."""
    barrier = threading.Barrier(count)

    def run(number: int) -> object:
        try:
            barrier.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_every_acknowledged_vote_is_counted_once(question: Question) -> None:
    pks = list(question.choices.values_list("pk", flat=True))

    def vote(number: int) -> int:
        acknowledged = 0
        for turn in range(VOTES_EACH):
            choice = pks[0] if turn % 3 else pks[1]
            response = Client().post(f"/polls/{question.pk}/vote/", {"choice": choice})
            acknowledged += response.status_code == 302
        return acknowledged

    acknowledged = sum(in_threads(vote))
    assert acknowledged == PEOPLE * VOTES_EACH
    assert sum(question.choices.values_list("votes", flat=True)) == acknowledged


def test_users_who_swap_their_votes_do_not_deadlock(question: Question) -> None:
    pks = list(question.choices.values_list("pk", flat=True))
    question.choices.update(votes=1000)

    def move(number: int) -> None:
        there, back = pks if number % 2 else reversed(pks)
        for _ in range(20):
            assert question.record_vote(there, instead_of=back)

    in_threads(move)
    assert sum(question.choices.values_list("votes", flat=True)) == 2000


def test_a_vote_locks_exactly_one_row(question: Question) -> None:
    locked = question.choices.last()
    free: dict[str, list[int]] = {}

    def look(number: int) -> None:
        with transaction.atomic():
            free["choices"] = list(Choice.objects.select_for_update(skip_locked=True).values_list("pk", flat=True))
            free["questions"] = list(Question.objects.select_for_update(skip_locked=True).values_list("pk", flat=True))

    with transaction.atomic():
        question.record_vote(locked.pk)
        in_threads(look, 1)
    assert set(question.choices.values_list("pk", flat=True)) - set(free["choices"]) == {locked.pk}
    assert free["questions"] == [question.pk]
