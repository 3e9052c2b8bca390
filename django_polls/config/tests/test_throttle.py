"""Log-ins are throttled by user and address together, behind any number of proxies."""

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import AbstractUser
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from config.client_address import NOBODY, client_address
from testing import run_python

PASSWORD = "a long enough passphrase"
WRONG = "Please enter the correct username and password"


def log_in(client: Client, password: str, username: str = "admin", **request: Any) -> Any:
    return client.post("/admin/login/", {"username": username, "password": password}, **request)


def lock(client: Client, username: str = "admin", **request: Any) -> Any:
    """Try until the throttle closes; returns the last answer."""
    for _ in range(4):
        answer = log_in(client, "wrong", username, **request)
        assert answer.status_code == 200
        assert WRONG in answer.text
    return log_in(client, "wrong", username, **request)


def test_the_fifth_wrong_password_closes_the_log_in(administrator: AbstractUser) -> None:
    client = Client()
    answer = lock(client)
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (429, "900", "no-store")
    assert "wait 15 minutes" in answer.text
    assert "Content-Security-Policy" in answer.headers
    assert log_in(client, PASSWORD).status_code == 429
    assert "admin" not in answer.text.replace("/admin/", "")


def test_nobody_else_is_locked_out(administrator: AbstractUser) -> None:
    lock(Client())
    assert log_in(Client(), PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 302
    assert log_in(Client(), "wrong", "somebody-else").status_code == 200


def test_an_unknown_user_gets_the_same_answers(administrator: AbstractUser) -> None:
    known, unknown = lock(Client()), lock(Client(), "nobody-of-this-name")
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)


def test_it_opens_again_and_trying_on_does_not_prolong_it(administrator: AbstractUser) -> None:
    client = Client()
    lock(client)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=890))
    assert log_in(client, "wrong").status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(seconds=901))
    assert log_in(client, PASSWORD).status_code == 302


def test_a_log_in_that_works_starts_the_count_anew(administrator: AbstractUser) -> None:
    for _ in range(3):
        for _ in range(4):
            assert log_in(Client(), "wrong").status_code == 200
        assert log_in(Client(), PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_an_attempt_leaves_no_password_and_no_name_in_what_is_stored(
    administrator: AbstractUser, caplog: pytest.LogCaptureFixture
) -> None:
    log_in(Client(), "sentinel-password", "sentinel-name")
    [attempt] = AccessAttempt.objects.all()
    assert "sentinel" not in attempt.post_data + attempt.get_data
    assert "sentinel" not in caplog.text
    assert "127.0.0.1" in caplog.text


@pytest.mark.parametrize("username", ["", "\0", "x" * 100_000, "é🔑\r\nforged: line", "admin\0"])
def test_odd_names(administrator: AbstractUser, username: str) -> None:
    assert log_in(Client(), "wrong", username).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "trusted", "header", "expected"),
    [
        (0, "*", "192.0.2.9", "203.0.113.1"),
        (1, "*", "192.0.2.9", "192.0.2.9"),
        (1, "*", "evil, 10.9.9.9, 192.0.2.9", "192.0.2.9"),
        (2, "*", "198.51.100.7, 192.0.2.9,10.0.0.1", "192.0.2.9"),
        (2, "*", "10.0.0.1", "203.0.113.1"),
        (1, "*", None, "203.0.113.1"),
        (1, "*", "192.0.2.9:4711", "192.0.2.9"),
        (1, "*", "[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::"),
        (1, "*", "2001:DB8:1:2:ffff::1", "2001:db8:1:2::"),
        (1, "*", "::ffff:192.0.2.9", "192.0.2.9"),
        (1, "*", "unknown", NOBODY),
        (1, "*", "'; DROP TABLE x", NOBODY),
        (1, "10.0.0.0/8", "192.0.2.9", "203.0.113.1"),
        (1, "203.0.113.0/24", "192.0.2.9", "192.0.2.9"),
        (1, "203.0.113.1", "192.0.2.9", "192.0.2.9"),
    ],
)
def test_whose_address_counts(proxies: int, trusted: str, header: str | None, expected: str) -> None:
    from config.environment import Environment

    request = RequestFactory().get(
        "/", headers={"X-Forwarded-For": header} if header else {}, REMOTE_ADDR="203.0.113.1"
    )
    networks = Environment({"X": trusted}).networks("X", "")
    with override_settings(PROXY_COUNT=proxies, TRUSTED_PROXIES=networks):
        assert client_address(request) == expected


def test_behind_a_proxy_one_client_does_not_lock_out_another(administrator: AbstractUser) -> None:
    with override_settings(PROXY_COUNT=1, TRUSTED_PROXIES=["*"]):
        assert lock(Client(), headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
        # An entry that the attacker writes is further left, and changes nothing.
        forged = log_in(Client(), PASSWORD, headers={"X-Forwarded-For": "192.0.2.77, 192.0.2.1"})
        assert forged.status_code == 429
        assert log_in(Client(), PASSWORD, headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 302


def test_what_is_no_address_is_refused_in_one_sentence() -> None:
    result = run_python("-c", "import config.settings", FORWARDED_ALLOW_IPS="10.0.0.0/8, proxy.example")
    assert result.returncode == 1
    assert "one item of it is no address. Set it to addresses and networks" in result.stderr
