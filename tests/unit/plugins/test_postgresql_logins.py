"""Values of a login's Secret: URLs and a service file that libpq reads like the single values."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.logins import Endpoint, refuse_unfit

ODD = "-@:/?#%41 $$ $(HOME) ${HOME} `id` [x] = '\"\\ \\n;-- é 🔑 end"


def endpoint(**changes: str) -> Endpoint:
    values = {"host": "db.example.org", "database": "shop", "schema": "public", "owner": "o", "ca": "PEM"}
    return Endpoint(**{"port": 5433, "ca_file": "/ca.crt"} | values | changes)  # type: ignore[arg-type]


def service(text: str) -> dict[str, str]:
    """Read a service file like libpq: without quotes and escapes, and without blanks around a line."""
    section, *lines = [line.strip(" \t\r\v\f") for line in text.split("\n") if line]
    assert section == "[default]"
    return dict(line.split("=", 1) for line in lines)  # type: ignore[misc]


@pytest.mark.parametrize("password", ["simple", ODD, " begins with a blank", "#", "=", "[x]"])
def test_url_and_service_file_have_the_password(password: str) -> None:
    values = endpoint().values("o'user@x", password)
    for key, scheme in (("url", "postgres"), ("uri", "postgresql")):
        url = urlsplit(values[key])
        assert (url.scheme, url.hostname, url.port, url.path) == (scheme, "db.example.org", 5433, "/shop")
        assert (unquote(url.username or ""), unquote(url.password or "")) == ("o'user@x", password)
        assert parse_qs(url.query) == {"sslmode": ["verify-full"], "sslrootcert": ["/ca.crt"]}
    assert service(values["service"]) == {
        "host": "db.example.org",
        "port": "5433",
        "dbname": "shop",
        "user": "o'user@x",
        "password": password,
        "sslmode": "verify-full",
        "sslrootcert": "/ca.crt",
    }
    assert values["address"] == "postgres://o%27user%40x@db.example.org:5433/shop"
    assert "role" not in values


@pytest.mark.parametrize("mode", ["require", "disable"])
def test_a_mode_that_verifies_nothing_has_no_ca(mode: str) -> None:
    """libpq verifies in the mode `require` as well if it finds a CA certificate."""
    values = endpoint(sslmode=mode).values("u", "p")
    assert (values["sslmode"], values["sslrootcert"]) == (mode, "")
    assert urlsplit(values["url"]).query == f"sslmode={mode}"
    assert "sslrootcert" not in values["service"]


def test_the_bundle_of_an_image_has_no_certificate_in_the_secret() -> None:
    values = endpoint(ca="", ca_file="/etc/ssl/certs/ca-certificates.crt", sslmode="verify-ca").values("u", "p", "u")
    assert (values["ca.crt"], values["sslrootcert"]) == ("", "/etc/ssl/certs/ca-certificates.crt")
    assert (values["role"], values["owner"]) == ("u", "o")


def test_an_ipv6_address_has_brackets_in_a_url_only() -> None:
    values = endpoint(host="fd00::1").values("u", "p")
    assert values["address"] == "postgres://u@[fd00::1]:5433/shop"
    assert service(values["service"])["host"] == "fd00::1"


@pytest.mark.parametrize("password", ["hunter2 ", "hunter2\t", "hunter2\v", "hun\nter2", "hunter2\r"])
def test_a_password_that_a_service_file_cannot_hold_is_refused(password: str) -> None:
    with pytest.raises(ManifestError, match=r"The password of role u (ends in a blank|has a line break)") as raised:
        refuse_unfit("The password of role u", password)
    assert "hunter2" not in str(raised.value)
