"""Responses of the middleware: headers, request IDs, and error pages."""

import logging
from io import BytesIO

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError
from django.db.models.sql.compiler import SQLCompiler
from django.test import Client
from pytest_django.fixtures import Settings

from polls.models import Question, QuestionQuerySet

PAGES = ["/", "/polls/{pk}/", "/polls/{pk}/results/", "/polls/{pk}/results.json", "/admin/login/", "/nothing/here/"]


@pytest.mark.parametrize("page", PAGES)
def test_protective_headers(client: Client, question: Question, page: str) -> None:
    headers = client.get(page.format(pk=question.pk)).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]


def test_valid_request_id_is_kept(client: Client, db: None) -> None:
    assert client.get("/", headers={"X-Request-ID": "from-the-proxy-1"})["X-Request-ID"] == "from-the-proxy-1"


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")])
@pytest.mark.parametrize("page", ["/", "/polls/1/", "/polls/1/results/", "/polls/1/results.json"])
def test_unavailable_database_gives_503_page(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(SQLCompiler, "execute_sql", fail)
    client.raise_request_exception = False
    with caplog.at_level(logging.ERROR):
        response = client.get(page)
    assert response.status_code == 503
    assert response["Retry-After"] == "10"
    assert "We will be right back" in response.text


@pytest.mark.django_db
def test_unsaved_session_gives_503_page(
    admin_page: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(SessionStore, "save", fail)
    admin_page.raise_request_exception = False
    response = admin_page.post("/admin/login/", {"username": "admin", "password": "a long enough passphrase"})
    assert response.status_code == 503
    assert response["Retry-After"] == "10"


@pytest.mark.django_db
def test_other_error_gives_500_page(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("sentinel in a traceback")

    monkeypatch.setattr(QuestionQuerySet, "open", fail)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "Something went wrong" in response.text
    assert "sentinel" not in response.text


def test_unknown_host_gives_400_page(client: Client) -> None:
    response = client.get("/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "Bad request" in response.text


def test_file_upload_is_refused(client: Client, question: Question) -> None:
    response = client.post(f"/polls/{question.pk}/vote/", {"choice": BytesIO(b"x" * 100)})
    assert response.status_code == 400


def test_large_body_is_refused(client: Client, question: Question) -> None:
    body = "choice=" + "1" * 300_000
    response = client.post(f"/polls/{question.pk}/vote/", body, content_type="application/x-www-form-urlencoded")
    assert response.status_code in {400, 413}


@pytest.mark.parametrize(
    ("host", "origin", "forwarded", "status"),
    [
        ("testserver", "http://testserver", "http", 302),
        ("testserver:30080", "http://testserver:30080", "http", 302),
        ("testserver:8001", "http://testserver:8001", "http", 302),
        # A proxy that ends TLS: one forwards the Host header, the other sets its own.
        ("testserver", "https://testserver", "https", 302),
        ("inner.example", "https://polls.example.org", "https", 302),
        ("testserver", "https://evil.example", "https", 403),
        ("testserver", "http://testserver:30080", "http", 403),
        ("testserver", "null", "http", 403),
    ],
)
def test_vote_through_other_port_or_proxy_is_counted(
    question: Question, settings: Settings, host: str, origin: str, forwarded: str, status: int
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "inner.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://polls.example.org"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client = Client(enforce_csrf_checks=True, headers={"Host": host, "X-Forwarded-Proto": forwarded})
    page = client.get(f"/polls/{question.pk}/").text
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {"choice": question.choices.first().pk, "csrfmiddlewaretoken": token}
    response = client.post(f"/polls/{question.pk}/vote/", form, headers={"Origin": origin})
    assert response.status_code == status
