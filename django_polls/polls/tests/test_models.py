"""Values that the database accepts and refuses."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polls.models import Choice, Question

pytestmark = pytest.mark.django_db

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200)
ODD_TEXTS = [
    "\u202eright to left",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "é" * 200,
    "🔑" * 200,
    "<script>alert('x')</script>",
    "{{ x }}{% y %}",
    "'; DROP",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_unusual_texts_are_stored_unchanged(text: str) -> None:
    question = Question(text=text)
    question.full_clean()
    question.save()
    assert Question.objects.get(pk=question.pk).text == text


@given(text=STORABLE)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_stored_unchanged(text: str) -> None:
    question = Question.objects.create(text=text)
    choice = Choice.objects.create(question=question, text=text)
    assert Question.objects.get(pk=question.pk).text == text
    assert Choice.objects.get(pk=choice.pk).text == text


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "\udfff", "x" * 201, ""])
def test_texts_that_cannot_be_stored_are_refused(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        Question(text=text).full_clean()
    assert list(error.value.message_dict) == ["text"]


def test_votes_cannot_be_negative(question: Question) -> None:
    with pytest.raises(IntegrityError, match="polls_choice_votes_not_negative"), transaction.atomic():
        question.choices.update(votes=-1)


def test_a_question_cannot_close_before_it_is_published() -> None:
    now = timezone.now()
    with pytest.raises(ValidationError, match="must be after the publication time"):
        Question(text="x", published_at=now, closes_at=now).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Question.objects.create(text="x", published_at=now, closes_at=now - timedelta(days=1))


def test_open_questions(make_question: Callable[..., Question]) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    first = make_question("open")
    newer = make_question("closes later", closes_at=now + hour, published_at=now - hour / 2)
    make_question("closed", closes_at=now - hour, published_at=now - 2 * hour)
    make_question("future", published_at=now + hour)
    make_question("without choices", choices=())
    assert list(Question.objects.open()) == [newer, first]


def test_total_votes(make_question: Callable[..., Question]) -> None:
    question, other = make_question(), make_question()
    question.choices.update(votes=4)
    totals = {q.pk: q.total_votes for q in Question.objects.open().with_total()}
    assert totals == {question.pk: 8, other.pk: 0}


def test_no_index_on_votes_and_one_for_each_query() -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "polls_choice")
        question_constraints = connection.introspection.get_constraints(cursor, "polls_question")
    indexed = [entry["columns"] for entry in constraints.values() if entry["index"]]
    assert indexed == [["question_id", "position", "id"]]
    assert not any("votes" in columns for columns in indexed)
    assert ["published_at", "id"] in [entry["columns"] for entry in question_constraints.values() if entry["index"]]


def test_moving_a_vote(question: Question) -> None:
    tea, coffee = question.choices.all()
    assert question.record_vote(tea.pk)
    assert question.record_vote(coffee.pk, instead_of=tea.pk)
    assert list(question.choices.values_list("votes", flat=True)) == [0, 1]


def test_moving_a_vote_to_another_question_changes_nothing(
    question: Question, make_question: Callable[..., Question]
) -> None:
    tea, _ = question.choices.all()
    stranger = make_question().choices.first()
    assert stranger is not None
    question.record_vote(tea.pk)
    for wrong in (stranger.pk, 0, 2**63):
        assert not question.record_vote(wrong, instead_of=tea.pk)
        assert not question.record_vote(wrong)
    assert list(question.choices.values_list("votes", flat=True)) == [1, 0]


def test_moving_a_vote_that_an_administrator_removed(question: Question) -> None:
    tea, coffee = question.choices.all()
    assert question.record_vote(coffee.pk, instead_of=tea.pk)
    assert list(question.choices.values_list("votes", flat=True)) == [0, 1]


@pytest.mark.parametrize(("minutes", "is_counted"), [(-20, False), (0, True), (20, False)])
def test_vote_uses_the_clock_of_the_pages(
    make_question: Callable[..., Question], monkeypatch: pytest.MonkeyPatch, minutes: int, is_counted: bool
) -> None:
    now = timezone.now()
    question = make_question(published_at=now - timedelta(minutes=10), closes_at=now + timedelta(minutes=10))
    # The clock of the pod, but not of the database, is wrong.
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=minutes))
    assert question.record_vote(question.choices.get(position=0).pk) is is_counted
    assert Question.objects.open().exists() is is_counted
