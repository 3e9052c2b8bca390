"""Throttling of logins by user and address."""

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from cloud_django.throttle import client_network
from testing import run_python

PASSWORD = "a long enough passphrase"
WRONG = "Please enter the correct username and password"


def log_in(client: Client, password: str, username: str = "admin", **request: Any) -> Any:
    return client.post("/admin/login/", {"username": username, "password": password}, **request)


def lock(client: Client, username: str = "admin", **request: Any) -> Any:
    """Try to log in until the lockout; return the last response."""
    for _ in range(4):
        answer = log_in(client, "wrong", username, **request)
        assert answer.status_code == 200
        assert WRONG in answer.text
    return log_in(client, "wrong", username, **request)


def test_fifth_failed_login_is_locked_out(administrator: AbstractUser) -> None:
    client = Client()
    answer = lock(client)
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (429, "900", "no-store")
    assert "Try again in 15 minutes" in answer.text
    assert "Content-Security-Policy" in answer.headers
    assert log_in(client, PASSWORD).status_code == 429
    assert "admin" not in answer.text.replace("/admin/", "")


def test_other_users_and_addresses_are_not_locked_out(administrator: AbstractUser) -> None:
    lock(Client())
    assert log_in(Client(), PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 302
    assert log_in(Client(), "wrong", "somebody-else").status_code == 200


def test_unknown_user_gets_the_same_responses(administrator: AbstractUser) -> None:
    known, unknown = lock(Client()), lock(Client(), "nobody-of-this-name")
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)


def test_lockout_ends_and_attempts_do_not_extend_it(administrator: AbstractUser) -> None:
    client = Client()
    lock(client)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=890))
    assert log_in(client, "wrong").status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=901))
    assert log_in(client, PASSWORD).status_code == 302


def test_successful_login_resets_the_count(administrator: AbstractUser) -> None:
    for _ in range(3):
        for _ in range(4):
            assert log_in(Client(), "wrong").status_code == 200
        assert log_in(Client(), PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_stored_attempt_has_no_password_and_no_name(
    administrator: AbstractUser, caplog: pytest.LogCaptureFixture
) -> None:
    log_in(Client(), "sentinel-password", "sentinel-name")
    [attempt] = AccessAttempt.objects.all()
    assert "sentinel" not in attempt.post_data + attempt.get_data
    assert "sentinel" not in caplog.text
    assert "127.0.0.1" in caplog.text


@pytest.mark.parametrize("username", ["", "\0", "x" * 100_000, "é🔑\r\nforged: line", "admin\0"])
def test_unusual_user_names(administrator: AbstractUser, username: str) -> None:
    assert log_in(Client(), "wrong", username).status_code == 200


def test_header_does_not_change_the_counted_address(administrator: AbstractUser) -> None:
    assert lock(Client(), REMOTE_ADDR="192.0.2.1").status_code == 429
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP"):
        forged = log_in(Client(), PASSWORD, headers={name: "192.0.2.2"}, REMOTE_ADDR="192.0.2.1")
        assert forged.status_code == 429
    assert log_in(Client(), PASSWORD, REMOTE_ADDR="192.0.2.2").status_code == 302


def test_header_of_the_front_is_the_counted_address(administrator: AbstractUser) -> None:
    behind_front = ["cloud_django.middleware.ClientAddressMiddleware", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=behind_front):
        assert lock(Client(), headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
        assert log_in(Client(), PASSWORD, headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 302
    chosen = "import config.settings as s; print(s.MIDDLEWARE[0])"
    assert "ClientAddress" in run_python("-c", chosen, WEB_CLIENT_ADDRESS="header").stdout
    assert "ClientAddress" not in run_python("-c", chosen, WEB_CLIENT_ADDRESS=None).stdout


NO_ADDRESS = "0.0.0.0"  # noqa: S104 - stands for an unknown client; nothing listens on it


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("2001:DB8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("", NO_ADDRESS),
        ("unknown", NO_ADDRESS),
    ],
)
def test_clients_of_one_network_count_as_one(address: str, expected: str) -> None:
    assert client_network(RequestFactory().get("/", REMOTE_ADDR=address)) == expected
