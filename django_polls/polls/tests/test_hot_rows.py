"""Votes on one row do not make the table and its index grow."""

import pytest
from django.db import connection, models, transaction
from django.test import Client

from polls.models import Choice, Question

pytestmark = pytest.mark.django_db(transaction=True)

# More than fit on one page of the table, so that pages are full. A vote for each fourth choice.
CHOICES, STEP = 400, 4


def updates() -> tuple[int, int]:
    """Return the numbers of updates and of HOT updates of the table since the start of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'polls_choice'")
        return cursor.fetchone()


def share_of_hot_updates(question: Question) -> float:
    """Vote for some choices of a full table, and return the share of updates that changed no index.

    Old versions of the rows stay until the end of the transaction, as they do while a backup runs.
    """
    Choice.objects.bulk_create(Choice(question=question, text="x" * 60) for _ in range(CHOICES))
    pks = list(question.choices.values_list("pk", flat=True))[::STEP]
    before = updates()
    with transaction.atomic():
        for pk in pks:
            assert question.record_vote(pk)
    done, hot = (now - then for now, then in zip(updates(), before, strict=True))
    assert done == len(pks)
    return hot / done


def test_votes_are_hot_updates(question: Question) -> None:
    assert share_of_hot_updates(question) > 0.9


def test_without_room_in_the_pages_they_are_not(question: Question) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE polls_choice RESET (fillfactor)")
        try:
            assert share_of_hot_updates(question) < 0.3
        finally:
            cursor.execute("ALTER TABLE polls_choice SET (fillfactor = 70)")


def test_a_vote_waits_for_the_disk(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


def test_statement_matches_the_models() -> None:
    assert Choice._meta.db_table == "polls_choice"
    assert Question._meta.db_table == "polls_question"
    assert isinstance(Choice._meta.get_field("votes"), models.BigIntegerField)
