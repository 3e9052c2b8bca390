"""The admin."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from polls.models import Question
from testing import statements

LIST = "/admin/polls/question/"


def form(question: str, *choices: str, **more: str) -> dict[str, str]:
    """Return the form data of a new question."""
    now = timezone.now()
    data = {
        "text": question,
        "published_at_0": now.strftime("%Y-%m-%d"),
        "published_at_1": now.strftime("%H:%M:%S"),
        "closes_at_0": "",
        "closes_at_1": "",
        "choices-TOTAL_FORMS": str(len(choices)),
        "choices-INITIAL_FORMS": "0",
    }
    for number, text in enumerate(choices):
        data |= {f"choices-{number}-text": text, f"choices-{number}-position": str(number)}
    return data | more


def test_question_is_added(admin_page: Client, client: Client) -> None:
    text = "Which 🔑 \u202e fits?"
    response = admin_page.post(f"{LIST}add/", form(text, "This", "That"))
    assert response.status_code == 302
    assert text in client.get("/").text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (form("One answer only?", "Yes"), "Please submit at least 2 forms"),
        (form("x\0y", "a", "b"), "Null characters are not allowed"),
        (form("x" * 201, "a", "b"), "at most 200 characters"),
        (
            form("Back in time?", "a", "b", closes_at_0="2001-01-01", closes_at_1="00:00"),
            "must be after the publication time",
        ),
    ],
)
def test_mistakes_are_explained(admin_page: Client, data: dict[str, str], sentence: str) -> None:
    response = admin_page.post(f"{LIST}add/", data)
    assert response.status_code == 200
    assert sentence in response.text
    assert not Question.objects.exists()


def test_votes_are_read_only(admin_page: Client, question: Question) -> None:
    url = f"{LIST}{question.pk}/change/"
    page = admin_page.get(url).text
    assert 'name="choices-0-text"' in page
    assert 'name="choices-0-votes"' not in page
    tea, coffee = question.choices.all()
    data = form(question.text, "Tea", "Coffee") | {
        "choices-INITIAL_FORMS": "2",
        "choices-0-id": str(tea.pk),
        "choices-1-id": str(coffee.pk),
        "choices-0-question": str(question.pk),
        "choices-1-question": str(question.pk),
        "choices-0-votes": "1000",
    }
    assert admin_page.post(url, data).status_code == 302
    assert list(question.choices.values_list("votes", flat=True)) == [0, 0]


def test_the_list(admin_page: Client, make_question: Callable[..., Question]) -> None:
    question = make_question("Findable?", choices=("needle", "other"))
    make_question("Other?")
    question.choices.update(votes=3)
    page = admin_page.get(LIST, {"q": "needle"}).text
    assert "Findable?" in page
    assert "Other?" not in page
    assert f'href="/polls/{question.pk}/results/"' in page
    assert '<td class="field-votes">6</td>' in page


def test_the_list_takes_the_same_number_of_queries_for_any_length(
    admin_page: Client, make_question: Callable[..., Question]
) -> None:
    counts = []
    for length in (1, 5):
        for _ in range(length):
            make_question()
        with CaptureQueriesContext(connection) as captured:
            admin_page.get(LIST)
        counts.append(len(statements(captured)))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "p=-1",
        "p=x",
        "o=99",
        "o=x.y",
        "published_at__year=x",
        "published_at__year=99999999",
        "published_at__day=0",
        "id__exact=%00",
        "published_at__gte=%00",
        "nonsense=1",
        "_popup=%00",
        "q=" + "9" * 5000,
    ],
)
def test_unusual_queries_never_give_an_error(admin_page: Client, question: Question, query: str) -> None:
    admin_page.raise_request_exception = False
    assert admin_page.get(f"{LIST}?{query}").status_code < 500


@pytest.mark.parametrize("pk", ["0", "9" * 30, "x", "%00", "_5Cx"])
def test_questions_that_do_not_exist(admin_page: Client, pk: str) -> None:
    admin_page.raise_request_exception = False
    assert admin_page.get(f"{LIST}{pk}/change/").status_code in {302, 404}


def test_anonymous_users_get_the_login_page(client: Client, db: None) -> None:
    assert client.get(LIST).headers["Location"].startswith("/admin/login/")


def test_future_question_is_not_shown(admin_page: Client, make_question: Callable[..., Question]) -> None:
    make_question("Not yet?", published_at=timezone.now() + timedelta(days=1))
    assert "Not yet?" in admin_page.get(LIST).text
    assert "Not yet?" not in admin_page.get("/").text
