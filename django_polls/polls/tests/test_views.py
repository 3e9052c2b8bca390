"""Pages, and how votes are processed."""

import json
from collections.abc import Callable
from datetime import timedelta
from html import escape
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from cloud_django.pages import pages
from polls.models import Choice, Question
from testing import statements

pytestmark = pytest.mark.django_db

MakeQuestion = Callable[..., Question]


def votes(question: Question) -> list[int]:
    """Return the votes of each choice, in order."""
    return list(question.choices.values_list("votes", flat=True))


def vote_url(question: Question) -> str:
    """Return the URL that the form is sent to."""
    return f"/polls/{question.pk}/vote/"


# ---- The list --------------------------------------------------------------------------------------------------------


def test_questions_are_newest_first_in_pages(client: Client, make_question: MakeQuestion, settings: Settings) -> None:
    settings.POLLS_PAGE_SIZE = 2
    now = timezone.now()
    for age in range(5):
        make_question(f"Question {age}", published_at=now - timedelta(days=age))
    first, last = client.get("/").text, client.get("/?page=3").text
    assert first.index("Question 0") < first.index("Question 1")
    assert "Question 2" not in first
    assert "Page 1 of 3" in first
    assert "Question 4" in last


@pytest.mark.parametrize("page", ["0", "-1", "99", "9" * 5000, "x", "%00", "1e5", "", "%F0%9F%94%91", "1&page=2"])
def test_pages_that_do_not_exist_show_one_that_does(client: Client, question: Question, page: str) -> None:
    response = client.get(f"/?page={page}")
    assert response.status_code == 200
    assert question.text in response.text


def test_empty_list_has_a_message(client: Client) -> None:
    assert "No question is open right now" in client.get("/").text


def test_path_of_the_tutorial_redirects(client: Client) -> None:
    assert client.get("/polls/").headers["Location"] == "/"


# ---- Constant numbers of queries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "count"), [("/", 1), ("/polls/{}/", 2), ("/polls/{}/results/", 2), ("/polls/{}/results.json", 1)]
)
@pytest.mark.parametrize("size", [1, 9])
def test_queries_of_a_page(client: Client, make_question: MakeQuestion, page: str, count: int, size: int) -> None:
    questions = [make_question(choices=tuple("abcdefghi"[:size])) for _ in range(size)]
    with CaptureQueriesContext(connection) as captured:
        assert client.get(page.format(questions[0].pk)).status_code == 200
    assert len(statements(captured)) == count


@pytest.mark.parametrize("size", [2, 9])
def test_queries_of_a_vote(client: Client, make_question: MakeQuestion, settings: Settings, size: int) -> None:
    settings.POLLS_VOTE_CHANGEABLE = True
    question = make_question(choices=tuple("abcdefghi"[:size]))
    first, second, *_ = question.choices.all()
    for choice, count in ((first, 1), (second, 3), (second, 1)):
        with CaptureQueriesContext(connection) as captured:
            assert client.post(vote_url(question), {"choice": choice.pk}).status_code == 302
        assert len(statements(captured)) == count
    with CaptureQueriesContext(connection) as captured:
        assert client.post(vote_url(question)).status_code == 400
    assert len(statements(captured)) == 2


# ---- Voting ----------------------------------------------------------------------------------------------------------


def test_a_vote(client: Client, question: Question) -> None:
    tea, _ = question.choices.all()
    assert "Vote</button>" in client.get(f"/polls/{question.pk}/").text
    response = client.post(vote_url(question), {"choice": tea.pk}, follow=True)
    assert response.redirect_chain == [(f"/polls/{question.pk}/results/", 302)]
    assert votes(question) == [1, 0]
    assert "your vote" in response.text
    assert 'width="100%"' in response.text


def test_one_vote_per_browser_and_question(client: Client, make_question: MakeQuestion) -> None:
    question, other = make_question(), make_question()
    tea, coffee = question.choices.all()
    client.post(vote_url(question), {"choice": tea.pk})
    response = client.post(vote_url(question), {"choice": coffee.pk})
    assert response.status_code == 409
    assert "already voted on this question" in response.text
    assert votes(question) == [1, 0]
    assert "Thank you" in client.get(f"/polls/{question.pk}/").text
    assert client.post(vote_url(other), {"choice": other.choices.first().pk}).status_code == 302
    assert Client().post(vote_url(question), {"choice": coffee.pk}).status_code == 302


def test_cookie_attributes(client: Client, question: Question, settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = True
    response = client.post(vote_url(question), {"choice": question.choices.first().pk})
    ballot, just_voted = response.cookies.values()
    assert (ballot["path"], just_voted["path"], just_voted["max-age"]) == (f"/polls/{question.pk}/", "/", 2)
    for cookie in (ballot, just_voted):
        assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")


def test_vote_creates_no_session(client: Client, question: Question) -> None:
    response = client.post(vote_url(question), {"choice": question.choices.first().pk}, follow=True)
    assert django_settings.SESSION_COOKIE_NAME not in client.cookies
    assert response.status_code == 200


@pytest.mark.parametrize("forged", ["1", "1:x:y", "", "é", "x" * 5000])
def test_a_forged_cookie_counts_as_none(client: Client, question: Question, forged: str) -> None:
    client.cookies[f"vote_{question.pk}"] = forged
    assert client.get(f"/polls/{question.pk}/results/").status_code == 200
    assert client.post(vote_url(question), {"choice": question.choices.first().pk}).status_code == 302


def test_cookie_is_invalid_for_another_question(client: Client, make_question: MakeQuestion) -> None:
    question, other = make_question(), make_question()
    client.post(vote_url(question), {"choice": question.choices.first().pk})
    client.cookies[f"vote_{other.pk}"] = client.cookies[f"vote_{question.pk}"].value
    assert "Vote</button>" in client.get(f"/polls/{other.pk}/").text


def test_vote_can_be_moved_if_the_setting_allows_it(client: Client, question: Question, settings: Settings) -> None:
    settings.POLLS_VOTE_CHANGEABLE = True
    tea, coffee = question.choices.all()
    for choice, expected in ((tea, [1, 0]), (coffee, [0, 1]), (coffee, [0, 1]), (tea, [1, 0])):
        assert client.post(vote_url(question), {"choice": choice.pk}).status_code == 302
        assert votes(question) == expected
    assert "Change my vote" in client.get(f"/polls/{question.pk}/").text


def test_no_choice(client: Client, question: Question) -> None:
    response = client.post(vote_url(question))
    assert response.status_code == 400
    assert "Please choose one of the answers" in response.text
    assert "Vote</button>" in response.text


def test_a_choice_of_another_question(client: Client, make_question: MakeQuestion) -> None:
    question, other = make_question(), make_question()
    response = client.post(vote_url(question), {"choice": other.choices.first().pk})
    assert response.status_code == 400
    assert "not an answer" in response.text
    assert votes(other) == [0, 0]


def test_several_choices(client: Client, question: Question) -> None:
    response = client.post(vote_url(question), {"choice": [c.pk for c in question.choices.all()]})
    assert response.status_code == 400
    assert "one answer only" in response.text
    assert votes(question) == [0, 0]


def test_a_closed_question(client: Client, make_question: MakeQuestion) -> None:
    now = timezone.now()
    question = make_question(published_at=now - timedelta(days=2), closes_at=now - timedelta(days=1))
    response = client.post(vote_url(question), {"choice": question.choices.first().pk})
    assert response.status_code == 409
    assert "has closed, so your vote was not counted" in response.text
    assert votes(question) == [0, 0]
    page = client.get(f"/polls/{question.pk}/").text
    assert "This question closed on" in page
    assert "Vote</button>" not in page
    assert "closed on" in client.get(f"/polls/{question.pk}/results/").text


@pytest.mark.parametrize("path", ["", "results/", "results.json", "vote/"])
def test_future_question_gives_404_page(client: Client, make_question: MakeQuestion, path: str) -> None:
    question = make_question("sentinel", published_at=timezone.now() + timedelta(days=1))
    choice = question.choices.first()
    for response in (
        client.get(f"/polls/{question.pk}/{path}"),
        client.post(vote_url(question), {"choice": choice.pk}),
    ):
        assert response.status_code == 404
        assert "This question does not exist or is not open yet." in response.text
        assert "sentinel" not in response.text
    assert votes(question) == [0, 0]


@pytest.mark.parametrize(
    "pk", ["0", "9223372036854775807", "9223372036854775808", "9" * 50, "9" * 5000, "-1", "x", "%00"]
)
@pytest.mark.parametrize("path", ["", "results/", "results.json", "vote/"])
def test_questions_that_do_not_exist(client: Client, pk: str, path: str) -> None:
    assert client.get(f"/polls/{pk}/{path}").status_code == 404
    assert client.post(f"/polls/{pk}/vote/", {"choice": "1"}).status_code == 404


def test_reload_after_a_vote_shows_the_form(client: Client, question: Question) -> None:
    assert client.get(vote_url(question)).headers["Location"] == f"/polls/{question.pk}/"


def test_vote_without_token_gives_403_page(question: Question) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(vote_url(question), {"choice": question.choices.first().pk})
    assert response.status_code == 403
    assert "Please try again" in response.text
    assert votes(question) == [0, 0]


@pytest.mark.parametrize(
    "value",
    ["\0", "1\0", "-1", "0", "1_0", " 1", "１", "1e5", "0x1", "9" * 19, "9" * 20, "9" * 5000, "\ud800", "🔑", "null"],
)
def test_forged_values(client: Client, question: Question, value: str) -> None:
    body = "choice=" + "".join(f"%{byte:02X}" for byte in value.encode("utf-8", "surrogatepass"))
    response = client.post(vote_url(question), body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 400
    assert "not an answer" in response.text
    assert votes(question) == [0, 0]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"choice": 1}'),
        ("multipart/form-data", "nonsense"),
        ("multipart/form-data; boundary=x", "nonsense"),
        ("application/x-www-form-urlencoded; charset=klingon", "choice=1"),
        ("application/x-www-form-urlencoded", "&".join(f"a{n}=1" for n in range(2000))),
        ("application/x-www-form-urlencoded", "choice=%ff%fe"),
        ("", "choice=1"),
    ],
)
def test_forged_bodies(client: Client, question: Question, content_type: str, body: str) -> None:
    response = client.generic("POST", vote_url(question), body, content_type=content_type)
    assert 400 <= response.status_code < 500
    assert "<h1>" in response.text
    assert votes(question) == [0, 0]


@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(["choice", "Choice", "csrfmiddlewaretoken", "x"]),
            st.one_of(st.text(max_size=30), st.integers(0, 99).map(str)),
        ),
        max_size=5,
    )
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_form_data_gives_a_page(question: Question, fields: list[tuple[str, str]]) -> None:
    data: dict[str, list[str]] = {}
    for name, value in fields:
        data.setdefault(name, []).append(value.encode("utf-8", "replace").decode())
    before = sum(votes(question))
    response = Client().post(vote_url(question), data)
    assert response.status_code in {302, 400}
    assert sum(votes(question)) - before == (response.status_code == 302)


# ---- Odd texts on the pages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\u202eesrever",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "é" * 200,
        "🔑" * 200,
        "<script>alert(1)</script>",
        "a & b \"c\" 'd'",
        "{{ secret }}",
    ],
)
def test_unusual_texts_on_all_pages(client: Client, make_question: MakeQuestion, text: str) -> None:
    question = make_question(text, choices=(text, "other"))
    for page in ("/", f"/polls/{question.pk}/", f"/polls/{question.pk}/results/"):
        assert f"<bdi>{escape(text)}</bdi>" in client.get(page).text


# ---- Results ---------------------------------------------------------------------------------------------------------


def test_results_add_up(client: Client, make_question: MakeQuestion) -> None:
    question = make_question(choices=("a", "b", "c"))
    question.choices.update(votes=1)
    page = client.get(f"/polls/{question.pk}/results/").text
    assert [f'width="{share}%"' in page for share in (34, 33)] == [True, True]
    assert "<span data-total>3</span>" in page


def test_results_as_json_with_etag(client: Client, question: Question) -> None:
    url = f"/polls/{question.pk}/results.json"
    tea, coffee = question.choices.all()
    first = client.get(url)
    assert json.loads(first.content) == {
        "total": 0,
        "closed": False,
        "choices": [{"id": tea.pk, "votes": 0, "percent": 0}, {"id": coffee.pk, "votes": 0, "percent": 0}],
    }
    again = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    question.record_vote(tea.pk)
    pages.clear()
    changed = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert json.loads(changed.content)["choices"][0] == {"id": tea.pk, "votes": 1, "percent": 100}


def test_no_inline_script_or_style_on_any_page(client: Client, question: Question) -> None:
    for page in ("/", f"/polls/{question.pk}/", f"/polls/{question.pk}/results/", "/nothing/"):
        text = client.get(page).text
        assert "style=" not in text
        assert "<style" not in text
        assert " onclick" not in text
        assert text.count("<script") == text.count('<script src="')
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text


def test_demo_polls_are_loaded_once(client: Client) -> None:
    for word in ("created", "unchanged"):
        output = StringIO()
        call_command("load_demo_polls", stdout=output)
        assert output.getvalue().splitlines() == [
            f"{word}: Is Django better than Flask?",
            f"{word}: Is Python3 better than Python2?",
        ]
    assert Question.objects.open().count() == 2
    assert Choice.objects.count() == 6
    assert "Is Django better than Flask?" in client.get("/").text
