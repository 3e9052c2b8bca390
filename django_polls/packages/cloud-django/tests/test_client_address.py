"""The address of a client behind any number of proxies."""

import pytest
from django.test import RequestFactory, override_settings

from cloud_django.client_address import NOBODY, client_address
from cloud_django.environment import Environment


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
    request = RequestFactory().get(
        "/", headers={"X-Forwarded-For": header} if header else {}, REMOTE_ADDR="203.0.113.1"
    )
    networks = Environment({"X": trusted}).networks("X", "")
    with override_settings(PROXY_COUNT=proxies, TRUSTED_PROXIES=networks):
        assert client_address(request) == expected
