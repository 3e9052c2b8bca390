"""Superuser from a Secret."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import django.contrib.auth
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from testing import ODD_PASSWORD

pytestmark = pytest.mark.django_db

FIRST, SECOND = "first sentinel passphrase", "second sentinel passphrase"


def authenticate(username: str, password: str) -> AbstractUser | None:
    """Return a function that logs in, at a site that counts attempts by address."""
    return django.contrib.auth.authenticate(RequestFactory().post("/"), username=username, password=password)


@pytest.fixture
def ensure(tmp_path: Path) -> Callable[..., str]:
    """Run the command with files of the given content."""

    def run(password: str = FIRST, username: str = "admin", **options: object) -> str:
        for name, value in (("username", username), ("email", "admin@example.org"), ("password", password)):
            (tmp_path / name).write_text(f"{value}\n")
            options.setdefault(f"{name}_file", str(tmp_path / name))
        output = StringIO()
        call_command("ensure_superuser", stdout=output, stderr=output, **options)
        assert "sentinel" not in output.getvalue()
        return output.getvalue().strip()

    return run


def test_created_then_unchanged(ensure: Callable[..., str]) -> None:
    assert ensure() == "created the superuser admin"
    user = authenticate(username="admin", password=FIRST)
    assert user is not None
    assert (user.is_staff, user.is_superuser, user.email) == (True, True, "admin@example.org")
    assert ensure() == "unchanged: the superuser admin is up to date"
    assert get_user_model().objects.count() == 1


def test_updated_if_and_only_if_the_secret_changed(ensure: Callable[..., str]) -> None:
    ensure()
    assert ensure(SECOND) == "updated the superuser admin: password"
    assert authenticate(username="admin", password=SECOND)
    assert ensure(SECOND).startswith("unchanged")


def test_password_that_the_user_changed_is_kept(ensure: Callable[..., str]) -> None:
    ensure()
    user = get_user_model().objects.get()
    user.set_password("chosen by the owner")
    user.save()
    assert ensure().startswith("unchanged")
    assert authenticate(username="admin", password="chosen by the owner")


def test_manually_created_superuser_is_kept_until_the_secret_changes(ensure: Callable[..., str]) -> None:
    get_user_model().objects.create_superuser("admin", "hand@example.org", "set manually")
    assert ensure() == "unchanged: the superuser admin already exists and keeps its password"
    assert ensure().startswith("unchanged")
    assert authenticate(username="admin", password="set manually")
    assert ensure(SECOND).startswith("updated")
    assert authenticate(username="admin", password=SECOND)
    assert get_user_model().objects.get().email == "hand@example.org"


def test_missing_permissions_are_added(ensure: Callable[..., str]) -> None:
    get_user_model().objects.create_user("admin", "", "set manually")
    assert ensure() == "updated the superuser admin: permissions"
    user = authenticate(username="admin", password="set manually")
    assert user is not None
    assert user.is_staff
    assert user.is_superuser


def test_update_password_option(ensure: Callable[..., str]) -> None:
    get_user_model().objects.create_superuser("admin", "", "set manually")
    assert ensure(update_password=True) == "updated the superuser admin: password"
    assert authenticate(username="admin", password=FIRST)


def test_special_password_and_name(ensure: Callable[..., str]) -> None:
    ensure(ODD_PASSWORD, username="Zoë@example.org")
    assert authenticate(username="Zoë@example.org", password=ODD_PASSWORD)


def test_weak_password_is_refused_and_no_user_is_created(ensure: Callable[..., str]) -> None:
    with pytest.raises(CommandError, match="too short") as error:
        ensure("xq7weak")
    assert "xq7weak" not in str(error.value)
    assert not get_user_model().objects.exists()


def test_names_come_from_the_environment(
    ensure: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("username", "root"), ("password", FIRST)):
        (tmp_path / f"own-{name}").write_text(value)
        monkeypatch.setenv(f"SUPERUSER_{name.upper()}_FILE", str(tmp_path / f"own-{name}"))
    output = StringIO()
    call_command("ensure_superuser", stdout=output)
    assert output.getvalue() == "created the superuser root\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\0b", b"\xff"])
def test_files_that_cannot_be_used(ensure: Callable[..., str], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(CommandError, match="password"):
        ensure(password_file=str(tmp_path / "bad"))


def test_missing_options_and_files_fail(ensure: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        ensure(password_file=str(tmp_path / "none"))
    with pytest.raises(CommandError, match="Use --username-file, or set SUPERUSER_USERNAME_FILE"):
        ensure(username_file="")
