"""Pages that are kept for a second: the right page for each visitor, and no vote that is missing."""

import threading
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.cache import caches
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import _does_token_match, get_token
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from django.utils.csp import LazyNonce
from pytest_django.fixtures import Settings

from cloud_django import pages as module
from cloud_django.cache import ForgivingRedisCache, ServerState, cache_settings
from cloud_django.cache_values import counts
from cloud_django.environment import Environment
from cloud_django.pages import Page, Pages, pages, shared_page, split
from polls.models import Question, open_questions
from testing import CacheServer, statements

pytestmark = pytest.mark.django_db

PATHS = ["/", "/polls/{}/", "/polls/{}/results/", "/polls/{}/results.json"]
StartCache = Callable[..., CacheServer]


@pytest.fixture(autouse=True)
def long_second(settings: Settings) -> None:
    """Keep pages longer than the longest test takes."""
    settings.PAGE_CACHE_SECONDS = 60.0


def queries(client: Client, path: str, **headers: str) -> tuple[HttpResponse, int]:
    """Return a response and the number of its queries."""
    with CaptureQueriesContext(connection) as captured:
        response: Any = client.get(path, headers=headers)
    return response, len(statements(captured))


def token_in(page: Any) -> str:
    return page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]


# ---- Which page a visitor gets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_second_visitor_causes_no_query(question: Question, path: str) -> None:
    path = path.format(question.pk)
    first, count = queries(Client(), path)
    assert count > 0
    second, count = queries(Client(), path)
    assert count == 0
    assert second.status_code == 200
    assert second.content.replace(token_of(second), token_of(first)) == first.content
    assert {name: value for name, value in second.headers.items() if name not in {"X-Request-ID", "ETag"}} == {
        name: value for name, value in first.headers.items() if name not in {"X-Request-ID", "ETag"}
    }


def token_of(page: Any) -> bytes:
    return token_in(page).encode() if "csrfmiddlewaretoken" in page.text else b"none"


@pytest.mark.parametrize("path", PATHS)
def test_page_is_known_by_its_etag_without_a_query(client: Client, question: Question, path: str) -> None:
    path = path.format(question.pk)
    etag = client.get(path).headers["ETag"]
    response, count = queries(client, path, **{"If-None-Match": etag})
    assert (response.status_code, response.content, count) == (304, b"", 0)
    assert response.headers["ETag"] == etag
    assert "no-cache" in response.headers["Cache-Control"]
    # Another worker or pod, and a release without the cache.
    pages.clear()
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    with override_settings(PAGE_CACHE_SECONDS=0.0):
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    Question.objects.filter(pk=question.pk).update(text="Changed?")
    question.record_vote(question.choices.first().pk)
    pages.clear()
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/polls/{}/results/", "/polls/{}/results.json"])
def test_readers_need_no_session_and_no_cookie(question: Question, path: str) -> None:
    for _ in range(2):
        response = Client().get(path.format(question.pk))
        assert "Vary" not in response.headers
        assert not response.cookies


def test_pages_of_one_list_differ(client: Client, make_question: Callable[..., Question], settings: Settings) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question("first"), make_question("second")
    for number in ("1", "2", "2", "1"):
        page = client.get(f"/?page={number}&ignored={number}").text
        assert ("first" in page, "second" in page) == (number == "2", number == "1")
    # Strangers cannot fill the memory with pages that do not exist.
    for number in range(3, 50):
        assert "first" in client.get(f"/?page={number}").text
    assert len(pages._pages) == 3


def test_fewer_questions_than_remembered(
    client: Client, make_question: Callable[..., Question], settings: Settings
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    questions = [make_question(name) for name in ("first", "second", "third")]
    assert "Page 3 of 3" in client.get("/?page=3").text
    questions[0].delete()
    pages.clear()
    assert "Page 2 of 2" in client.get("/?page=3").text


@pytest.mark.parametrize("more", [1, 2])
def test_more_questions_than_remembered(
    client: Client, make_question: Callable[..., Question], settings: Settings, more: int
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question("first"), make_question("second")
    assert "Page 1 of 2" in client.get("/").text
    for number in range(more):
        make_question(f"later {number}")
    pages.clear()
    last = 2 + more
    assert f"Page 2 of {last}" in client.get("/?page=2").text
    page = client.get(f"/?page={last}").text
    assert "first" in page
    assert f"Page {last} of {last}" in page
    assert f"Page {last} of {last}" in client.get("/?page=9").text


def test_more_pages_in_another_worker(
    client: Client, make_question: Callable[..., Question], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question("first"), make_question("second")
    assert "Page 2 of 2" in client.get("/?page=2").text
    for name in ("third", "fourth", "fifth"):
        make_question(name)
    pages.clear()
    monkeypatch.setattr("polls.views.LATEST_SECONDS", 0.0)
    assert "Page 5 of 5" in client.get("/?page=5").text


def test_last_page_corrects_the_number(
    client: Client, make_question: Callable[..., Question], settings: Settings
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    questions = [make_question(name) for name in ("first", "second", "third")]
    assert "Page 1 of 3" in client.get("/").text
    Question.objects.exclude(pk=questions[0].pk).delete()
    pages.clear()
    assert "Page" not in client.get("/").text
    assert open_questions.known is None


def test_change_of_a_question_forgets_the_number(
    question: Question, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    for change in (
        lambda: question.save(),
        lambda: question.choices.first().delete(),
        lambda: question.delete(),
        lambda: Question.objects.create(text="New?", published_at=question.published_at),
    ):
        open_questions.get()
        assert open_questions.known is not None
        with django_capture_on_commit_callbacks(execute=True):
            change()
            assert open_questions.known is not None
        assert open_questions.known is None


def test_vote_does_not_forget_the_number(client: Client, question: Question) -> None:
    open_questions.get()
    client.post(f"/polls/{question.pk}/vote/", {"choice": question.choices.first().pk})
    assert open_questions.known == 1


def test_list_is_kept_under_its_own_number(
    make_question: Callable[..., Question], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    for name in ("first", "second", "third", "fourth"):
        make_question(name)
    # Another thread changes the number between two calls in a request.
    numbers = iter([1, 1, 4, 4, 4, 4])
    monkeypatch.setattr("polls.views.remembered_pages", lambda seconds=None: next(numbers))
    first = Client().get("/?page=4").text
    [(*_, number)] = pages._pages
    assert f"Page {number} of" in first


# ---- Votes -----------------------------------------------------------------------------------------------------------


def test_vote_is_visible_to_the_voter_at_once_on_all_pages(question: Question) -> None:
    for path in PATHS:
        Client().get(path.format(question.pk))
    voter = Client()
    response = voter.post(f"/polls/{question.pk}/vote/", {"choice": question.choices.first().pk}, follow=True)
    assert "<span data-total>1</span>" in response.text
    assert "your vote" in response.text
    assert "1 vote<" in voter.get("/").text
    assert "You have voted" in voter.get(f"/polls/{question.pk}/").text
    assert voter.get(f"/polls/{question.pk}/results.json").json()["total"] == 1


@pytest.mark.parametrize(("seconds", "kept"), [(0, None), (1, 2), (60, 61)])
def test_voter_gets_new_pages_until_all_old_ones_have_expired(
    client: Client, question: Question, settings: Settings, seconds: int, kept: int | None
) -> None:
    settings.PAGE_CACHE_SECONDS = seconds
    client.post(f"/polls/{question.pk}/vote/", {"choice": question.choices.first().pk})
    cookie = client.cookies.get("just_voted")
    assert (cookie["max-age"] if cookie else None) == kept


def test_vote_is_visible_to_others_within_a_second(question: Question, settings: Settings) -> None:
    settings.PAGE_CACHE_SECONDS = 1.0
    path = f"/polls/{question.pk}/results.json"
    assert Client().get(path).json()["total"] == 0
    # The page is renewed while others still get it, so it is read all the time.
    question.record_vote(question.choices.first().pk)
    voted = time.monotonic()
    while Client().get(path).json()["total"] == 0:
        assert time.monotonic() - voted < 1.0
        time.sleep(0.02)
    assert Client().get(path).json()["total"] == 1


def test_pages_of_a_voter_are_not_for_others(question: Question) -> None:
    voter, same, other = Client(), Client(), Client()
    tea, coffee = question.choices.all()
    for client, choice in ((voter, tea), (same, tea), (other, coffee)):
        client.post(f"/polls/{question.pk}/vote/", {"choice": choice.pk})
        del client.cookies["just_voted"]
    for path in (f"/polls/{question.pk}/", f"/polls/{question.pk}/results/"):
        own, count = queries(voter, path)
        assert count > 0
        assert queries(same, path)[1] == 0
        assert queries(other, path)[1] > 0
        stranger, count = queries(Client(), path)
        assert count > 0
        assert ("ou have voted" in own.text or "your vote" in own.text) is True
        assert "ou have voted" not in stranger.text
        assert "your vote" not in stranger.text


def test_forged_ballot_gets_the_page_of_a_stranger(client: Client, question: Question) -> None:
    Client().get(f"/polls/{question.pk}/")
    client.cookies = SimpleCookie({f"vote_{question.pk}": "1:forged:forged"})
    assert queries(client, f"/polls/{question.pk}/")[1] == 0


# ---- Forms -----------------------------------------------------------------------------------------------------------


def test_each_visitor_has_a_token_that_only_this_visitor_can_use(question: Question) -> None:
    visitors = [Client(enforce_csrf_checks=True) for _ in range(3)]
    path = f"/polls/{question.pk}/"
    tokens = [token_in(visitor.get(path)) for visitor in visitors]
    assert len(set(tokens)) == 3
    assert len({visitor.cookies["csrftoken"].value for visitor in visitors}) == 3
    form = {"choice": question.choices.first().pk}
    stolen = visitors[0].post(f"{path}vote/", form | {"csrfmiddlewaretoken": tokens[1]})
    assert stolen.status_code == 403
    for visitor, token in zip(visitors, tokens, strict=True):
        assert visitor.post(f"{path}vote/", form | {"csrfmiddlewaretoken": token}).status_code == 302


def test_token_has_a_new_mask_and_the_cookie_is_kept(client: Client, question: Question) -> None:
    path = f"/polls/{question.pk}/"
    first, secret = token_in(client.get(path)), client.cookies["csrftoken"].value
    assert token_in(client.get(path)) != first
    assert client.cookies["csrftoken"].value == secret
    assert "Cookie" in client.get(path).headers["Vary"]


def test_no_secret_of_a_visitor_is_kept(client: Client, question: Question) -> None:
    page = client.get(f"/polls/{question.pk}/")
    [kept] = pages._pages.values()
    assert len(kept.parts) == 2
    for secret in (token_in(page), client.cookies["csrftoken"].value):
        assert secret.encode() not in b"".join(kept.parts)
    assert b"Set-Cookie" not in repr(kept.headers).encode()


def test_form_of_another_visitor_is_never_not_modified(question: Question) -> None:
    path = f"/polls/{question.pk}/"
    etag = Client().get(path).headers["ETag"]
    other = Client()
    assert other.get(path, headers={"If-None-Match": etag}).status_code == 200
    assert other.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_invalid_cookie_is_replaced(question: Question) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "invalid"
    page = client.get(f"/polls/{question.pk}/")
    form = {"choice": question.choices.first().pk, "csrfmiddlewaretoken": token_in(page)}
    assert client.post(f"/polls/{question.pk}/vote/", form).status_code == 302


# ---- Any view --------------------------------------------------------------------------------------------------------


def ask(view: Callable[..., Any], **attributes: Any) -> Any:
    request = RequestFactory().get("/")
    for name, value in attributes.items():
        setattr(request, name, value)
    return view(request)


class AccessedSession:
    """Session that a view has read."""

    accessed = True


def with_cookie(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("page")
    response.set_cookie("a", "b")
    return response


@pytest.mark.parametrize(
    ("view", "attributes"),
    [
        (lambda request: HttpResponse("page", status=404), {}),
        (with_cookie, {}),
        (lambda request: HttpResponse("page", headers={"Vary": "Cookie"}), {}),
        (lambda request: HttpResponse("page", headers={"Cache-Control": "no-store"}), {}),
        (lambda request: HttpResponse("page"), {"session": AccessedSession()}),
    ],
)
def test_pages_for_one_visitor_are_not_kept(view: Callable[..., Any], attributes: dict[str, Any]) -> None:
    response = ask(shared_page(lambda request: "")(view), **attributes)
    assert response.content == b"page"
    assert not pages._pages


def request_with_messages(*texts: str) -> HttpRequest:
    """Return the request of a visitor without a session, who has messages in a cookie."""
    request = RequestFactory().get("/")
    response = HttpResponse()
    CookieStorage(request)._store([Message(constants.INFO, text) for text in texts], response)
    request.COOKIES = {name: cookie.value for name, cookie in response.cookies.items()}
    request._messages = CookieStorage(request)
    return request


def test_messages_of_a_visitor_are_not_kept() -> None:
    view = shared_page(lambda request: "")(
        lambda request: HttpResponse(" ".join(str(message) for message in request._messages))
    )
    assert view(request_with_messages("for Ann")).content == b"for Ann"
    assert not pages._pages
    assert view(request_with_messages("for Bob")).content == b"for Bob"


def test_visitor_with_messages_gets_the_page_that_shows_none() -> None:
    view = shared_page(lambda request: "")(lambda request: HttpResponse("page"))
    assert view(request_with_messages("for Ann")).content == b"page"
    assert len(pages._pages) == 1


def test_page_with_a_nonce_is_not_kept() -> None:
    view = shared_page(lambda request: "")(lambda request: HttpResponse(f"{request._csp_nonce}"))
    first, second = (ask(view, _csp_nonce=LazyNonce()).content for _ in range(2))
    assert first != second
    assert not pages._pages


def test_each_language_has_its_own_page() -> None:
    view = shared_page(lambda request: "")(lambda request: HttpResponse(translation.get_language()))
    for language in ("de", "en", "de"):
        with translation.override(language):
            assert ask(view).content == language.encode()
    assert len(pages._pages) == 2


def test_response_for_head_is_not_that_for_get() -> None:
    view = shared_page(lambda request: "")(lambda request: HttpResponse("page" * (request.method == "GET")))
    assert view(RequestFactory().head("/")).content == b""
    assert view(RequestFactory().get("/")).content == b"page"


def test_head_has_the_headers_of_get(client: Client, question: Question) -> None:
    path = f"/polls/{question.pk}/results/"
    page, head = client.get(path), client.head(path)
    assert head.content == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
        assert head.headers[name] == page.headers[name]
    assert client.head(path, headers={"If-None-Match": page.headers["ETag"]}).status_code == 304


def test_form_sees_the_own_secret_of_its_visitor() -> None:
    # For example a login, which changes the secret.
    def view(request: HttpRequest) -> HttpResponse:
        assert request.META["CSRF_COOKIE"] == "own"
        request.META.update({"CSRF_COOKIE": "changed", "CSRF_COOKIE_NEEDS_UPDATE": True})
        return HttpResponse("page")

    request = RequestFactory().post("/")
    request.META["CSRF_COOKIE"] = "own"
    response = shared_page(lambda request: "")(view)(request)
    assert (response.content, response.has_header("ETag"), len(pages._pages)) == (b"page", False, 0)
    assert (request.META["CSRF_COOKIE"], request.META["CSRF_COOKIE_NEEDS_UPDATE"]) == ("changed", True)


def test_token_outside_of_a_form_is_filled_in_too() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f'<meta content="{get_token(request)}"><input value="{get_token(request)}">')

    ask(shared_page(lambda request: "")(view))
    [kept] = pages._pages.values()
    assert kept.parts == [b'<meta content="', b'"><input value="', b'">']


def test_other_texts_of_that_length_stay() -> None:
    body = b"a" * 64 + b" " + b"b" * 65
    assert split(body, "c" * 32) == [body]


def test_view_that_fails_leaves_the_secret_of_the_visitor() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    request = RequestFactory().get("/")
    request.META["CSRF_COOKIE"] = "own"
    with pytest.raises(ZeroDivisionError):
        shared_page(lambda request: "")(view)(request)
    assert request.META["CSRF_COOKIE"] == "own"
    assert "CSRF_COOKIE_NEEDS_UPDATE" not in request.META


def test_one_request_renews_a_page_while_others_get_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    started, finish, calls = threading.Event(), threading.Event(), []

    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        if len(calls) == 2:
            started.set()
            finish.wait(10)
        return HttpResponse(f"{len(calls)}")

    shared = shared_page(lambda request: "")(view)
    assert ask(shared).content == b"1"
    monkeypatch.setattr(module, "RENEWED_AFTER", 0.0)
    thread = threading.Thread(target=ask, args=[shared])
    thread.start()
    started.wait(10)
    assert [ask(shared).content for _ in range(3)] == [b"1"] * 3
    finish.set()
    thread.join()
    monkeypatch.setattr(module, "RENEWED_AFTER", 0.8)
    assert ask(shared).content == b"2"


def test_many_requests_for_a_new_page_render_it_once() -> None:
    calls = []

    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        time.sleep(0.2)
        return HttpResponse(f"{len(calls)}")

    shared, bodies = shared_page(lambda request: "")(view), []
    in_threads(8, lambda: bodies.append(ask(shared).content))
    assert bodies == [b"1"] * 8
    assert not module.renderings


def test_page_that_takes_longer_than_it_is_kept_is_not_rendered_by_all(settings: Settings) -> None:
    settings.PAGE_CACHE_SECONDS = 0.05
    calls = []

    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        time.sleep(0.2)
        return HttpResponse("page")

    shared = shared_page(lambda request: "")(view)
    in_threads(8, lambda: ask(shared))
    # Those that came during the first one need a newer one, which they share.
    assert len(calls) <= 3


def in_threads(count: int, work: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_failure_of_one_request_lets_another_one_renew_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    results: Iterator[Any] = iter([HttpResponse("old"), ZeroDivisionError(), HttpResponse("new")])

    def view(request: HttpRequest) -> HttpResponse:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    shared = shared_page(lambda request: "")(view)
    assert ask(shared).content == b"old"
    monkeypatch.setattr(module, "RENEWED_AFTER", 0.0)
    with pytest.raises(ZeroDivisionError):
        ask(shared)
    assert ask(shared).content == b"new"


def test_requests_wait_for_a_slow_one_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.1)
    started, finish, calls = threading.Event(), threading.Event(), []

    def view(request: HttpRequest) -> HttpResponse:
        calls.append(1)
        if len(calls) == 1:
            started.set()
            finish.wait(10)
        return HttpResponse("page")

    shared = shared_page(lambda request: "")(view)
    thread = threading.Thread(target=ask, args=[shared])
    thread.start()
    started.wait(10)
    asked = time.monotonic()
    assert ask(shared).content == b"page"
    assert time.monotonic() - asked < 5
    assert len(calls) == 2
    finish.set()
    thread.join()


@pytest.mark.parametrize("encode", [str.swapcase, lambda token: token[::-1], lambda token: ""])
def test_page_without_its_token_is_not_kept(encode: Callable[[str], str]) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        tokens.append(get_token(request))
        return HttpResponse(encode(tokens[-1]))

    tokens: list[str] = []
    request = RequestFactory().get("/")
    request.META["CSRF_COOKIE"] = "o" * 32
    response = shared_page(lambda request: "")(view)(request)
    assert response.content.decode() == encode(tokens[-1])
    assert _does_token_match(tokens[-1], "o" * 32)
    assert request.META["CSRF_COOKIE_NEEDS_UPDATE"] is True
    assert not pages._pages


def test_memory_is_limited() -> None:
    kept = Pages(most_bytes=100_000)
    for number in range(1000):
        kept.put(number % 200, Page([b"x" * 5000], {}, 0.0))
        assert kept.bytes <= 100_000
    assert kept.bytes == sum(page.size() for page in kept._pages.values())
    assert 5 < len(kept._pages) < 20
    before = set(kept._pages)
    kept.put("large", Page([b"x" * 200_000], {}, 0.0))
    assert set(kept._pages) == before
    # A page that has grown replaces its old form.
    kept.put(before.pop(), Page([b"x" * 200_000], {}, 0.0))
    assert set(kept._pages) == before


# ---- A cache that the pods share -------------------------------------------------------------------------------------


@pytest.fixture
def server(start_cache: StartCache, monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheServer]:
    """Return the cache server of the site."""
    monkeypatch.setattr(ForgivingRedisCache, "state", ServerState())
    counts.clear()
    started = start_cache(tls=True)
    with override_settings(CACHES=settings_of(started.secret)):
        yield started


def settings_of(directory: Path, release: str = "new") -> dict[str, Any]:
    return cache_settings(Environment({"CACHE_SECRET_DIRECTORY": str(directory)}), "tests", release)


FOREIGN = [b"foreign", b'{"parts": ["<script>"]}', b"\x80\x05.", b"x" * 1_000_000, b"7", b""]
FOREIGN_NAMES = ["text", "JSON", "pickle", "1 MB", "number", "empty"]


@pytest.mark.parametrize("data", FOREIGN, ids=FOREIGN_NAMES)
def test_foreign_values_break_no_page(
    server: CacheServer, make_question: Callable[..., Question], settings: Settings, data: bytes
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question("first"), make_question("second")
    assert "Page 1 of 2" in Client().get("/").text
    [key] = server.admin().keys("*")
    assert b"new" in key
    server.admin().set(key, data)
    for number in (1, 2):
        pages.clear()
        open_questions.era = object()
        assert "Page" in Client().get(f"/?page={number}").text
    assert counts["unreadable"] == 1


def test_number_of_an_older_release_is_not_read(
    server: CacheServer, make_question: Callable[..., Question], settings: Settings
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question("first"), make_question("second")
    with override_settings(CACHES=settings_of(server.secret, "old")):
        caches["default"].set(open_questions.name, 50)
    assert "Page 1 of 2" in Client().get("/").text


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize("data", FOREIGN, ids=FOREIGN_NAMES)
def test_foreign_value_under_the_key_of_a_session(server: CacheServer, data: bytes) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cached_db", SESSION_CACHE_ALIAS="sessions"):
        client = Client()
        form = {"username": "admin", "password": "a long enough passphrase"}
        assert client.post("/admin/login/?next=/admin/", form).status_code == 302
        for key in server.admin().keys("*session*"):
            server.admin().set(key, data)
        assert client.get("/admin/").status_code == 200
        assert counts["unreadable"] == 1


@pytest.mark.parametrize("failure", ["killed", "frozen", "full", "password"])
def test_pages_and_votes_without_the_cache(
    server: CacheServer, question: Question, make_question: Callable[..., Question], settings: Settings, failure: str
) -> None:
    settings.POLLS_PAGE_SIZE = 1
    make_question()
    Client().get("/")
    if failure == "killed":
        server.stop()
    elif failure == "frozen":
        server.process.send_signal(19)
    elif failure == "full":
        server.admin().config_set("maxmemory-policy", "noeviction")
        # An empty server uses about 1 MB.
        server.admin().config_set("maxmemory", "1")
    else:
        server.change_password("another")
    started = time.monotonic()
    for _ in range(3):
        pages.clear()
        open_questions.forget()
        for path in PATHS:
            assert Client().get(path.format(question.pk)).status_code == 200
        vote = Client().post(f"/polls/{question.pk}/vote/", {"choice": question.choices.first().pk}, follow=True)
        assert vote.status_code == 200
    assert time.monotonic() - started < 3
    assert question.choices.first().votes == 3
    assert counts["skipped"] + counts["refused"] > 0


def test_local_memory_is_no_shared_cache() -> None:
    assert "sessions" not in django_settings.CACHES
    assert not isinstance(caches["default"], ForgivingRedisCache)
