"""Settings as a whole, each time in a process of its own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from testing import ODD_PASSWORD, run_python

SHOW = """
import json, config.settings as s
names = [n for n in dir(s) if n.isupper()]
print(json.dumps({n: getattr(s, n) for n in names}, default=str))
"""


def settings_with(**variables: str | None) -> dict:
    """Return all settings that result from the changed environment."""
    result = run_python("-c", SHOW, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "DJANGO_PUBLIC_URL",
        "DJANGO_SECRET_KEY_FILE",
        "DATABASE_HOST",
        "DATABASE_NAME",
        "DATABASE_USER",
        "DATABASE_PASSWORD_FILE",
    ],
)
@pytest.mark.parametrize("command", [("manage.py", "migrate"), ("-m", "gunicorn", "config.wsgi")])
def test_missing_variable_fails_with_one_line(name: str, command: tuple[str, ...]) -> None:
    result = run_python(*command, **{name: None})
    assert result.returncode != 0
    assert f"The environment variable {name} is not set. Set it to " in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_encryption_without_ca_fails() -> None:
    result = run_python("manage.py", "check", DATABASE_SSLMODE=None, DATABASE_SSLROOTCERT=None)
    assert "DATABASE_SSLROOTCERT is not set, and DATABASE_SSLMODE verify-full needs it." in result.stderr


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DJANGO_ALLOWED_HOSTS": "*"}, "DJANGO_ALLOWED_HOSTS contains *"),
        ({"DJANGO_DEBUG": "maybe"}, "neither yes nor no"),
        ({"DATABASE_SSLMODE": "please"}, "Set it to one of: verify-full"),
        ({"DATABASE_SCHEMA": 'x"; drop'}, "Set it to a plain name"),
        ({"DATABASE_PORT": "none"}, "whole number from 1 to 65535"),
        ({"LOG_FORMAT": "xml"}, "Set it to one of: json, text"),
    ],
)
def test_invalid_value_fails_with_message(variables: dict[str, str], sentence: str) -> None:
    result = run_python("manage.py", "check", **variables)
    assert result.returncode != 0
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_short_key_fails_and_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("short-sentinel")
    result = run_python("manage.py", "check", DJANGO_SECRET_KEY_FILE=str(path))
    assert "has 14 characters" in result.stderr
    assert "short-sentinel" not in result.stdout + result.stderr


def test_debug_is_off_by_default() -> None:
    assert settings_with(DJANGO_DEBUG=None)["DEBUG"] is False
    assert settings_with(DJANGO_DEBUG="yes")["DEBUG"] is True


def test_https_settings_follow_from_public_url() -> None:
    secure = settings_with(
        DJANGO_PUBLIC_URL="https://polls.example.org", DJANGO_ALLOWED_HOSTS="192.0.2.1, other.example"
    )
    assert secure["ALLOWED_HOSTS"] == ["polls.example.org", "192.0.2.1", "other.example"]
    assert secure["CSRF_TRUSTED_ORIGINS"] == ["https://polls.example.org"]
    assert secure["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    assert secure["SECURE_SSL_REDIRECT"] is secure["SESSION_COOKIE_SECURE"] is secure["CSRF_COOKIE_SECURE"] is True
    assert secure["SECURE_HSTS_SECONDS"] == 31_536_000
    assert secure["SECURE_CROSS_ORIGIN_OPENER_POLICY"] == "same-origin"
    assert (secure["SESSION_COOKIE_NAME"], secure["CSRF_COOKIE_NAME"]) == ("__Host-sessionid", "__Host-csrftoken")

    plain = settings_with(DJANGO_PUBLIC_URL="http://192.0.2.1:30080")
    assert plain["ALLOWED_HOSTS"] == ["192.0.2.1"]
    assert plain["SECURE_SSL_REDIRECT"] is plain["SESSION_COOKIE_SECURE"] is plain["CSRF_COOKIE_SECURE"] is False
    assert plain["SECURE_HSTS_SECONDS"] == 0
    assert (plain["SESSION_COOKIE_NAME"], plain["CSRF_COOKIE_NAME"]) == ("sessionid", "csrftoken")
    # Without TLS, browsers ignore this header and log a warning.
    assert plain["SECURE_CROSS_ORIGIN_OPENER_POLICY"] is None
    assert "SECURE_PROXY_SSL_HEADER" not in plain


def test_fallback_keys_are_read_one_per_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("first old key\n\nsecond old key\n")
    assert settings_with(DJANGO_SECRET_KEY_FALLBACKS_FILE=str(path))["SECRET_KEY_FALLBACKS"] == [
        "first old key",
        "second old key",
    ]


def test_check_deploy_has_no_warnings() -> None:
    result = run_python(
        "manage.py",
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        DJANGO_PUBLIC_URL="https://polls.example.org",
        DJANGO_DEBUG=None,
    )
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_static_files_are_collected_without_settings(tmp_path: Path) -> None:
    nothing = {name: None for name in os.environ if name.startswith(("DJANGO_", "DATABASE_"))}
    variables = {**nothing, "DJANGO_SETTINGS_MODULE": "static_settings", "DJANGO_STATIC_ROOT": str(tmp_path)}
    result = run_python("manage.py", "collectstatic", "--noinput", **variables)
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.glob("polls/polls.????????????.css.gz"))


@pytest.fixture
def odd_role(transactional_db: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Create a role whose password has special characters, and a schema that another role owns."""
    password_file = tmp_path / "password"
    password_file.write_text(ODD_PASSWORD + "\n")
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE odd_owner NOLOGIN")
        cursor.execute("CREATE ROLE odd_login LOGIN PASSWORD %s IN ROLE odd_owner", [ODD_PASSWORD])
        cursor.execute("CREATE SCHEMA odd AUTHORIZATION odd_owner")
    yield {
        "DATABASE_NAME": connection.settings_dict["NAME"],
        "DATABASE_USER": "odd_login",
        "DATABASE_PASSWORD_FILE": str(password_file),
        "DATABASE_SCHEMA": "odd",
        "DATABASE_ROLE": "odd_owner",
        "DATABASE_STATEMENT_TIMEOUT": "30000",
        "DATABASE_LOCK_TIMEOUT": "5000",
    }
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA odd CASCADE")
        cursor.execute("DROP ROLE odd_login")
        cursor.execute("DROP ROLE odd_owner")


def test_special_password_own_schema_and_owner_role(odd_role: dict[str, str]) -> None:
    result = run_python("manage.py", "migrate", "-v0", **odd_role)
    assert result.returncode == 0, result.stderr
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableowner FROM pg_tables WHERE schemaname = 'odd' AND tablename = 'polls_choice'")
        assert cursor.fetchall() == [("odd_owner",)]

    show = (
        "import django; django.setup(); from django.db import connection; k = connection.cursor();"
        "k.execute(\"SELECT current_setting('statement_timeout'), current_setting('lock_timeout')\");"
        "print(k.fetchone())"
    )
    result = run_python("-c", show, DJANGO_SETTINGS_MODULE="config.settings", **odd_role)
    assert result.stdout.strip() == "('30s', '5s')"
